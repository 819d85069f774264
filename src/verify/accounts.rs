//! Accounts against their transfers, lots, holds, debts and counts: invariants 2, 3, 4, 6, 7 and 8.

use std::collections::HashMap;

use sqlx::MySqlConnection;

use super::{
    Invariant, Progress, Report,
    caps::DayCount,
    lots::{DeletedLots, LotReplay},
    pages::{Accounts, ByAccount, Cursor, Holds, Lots},
    rules::Rules,
    sums::Sums,
};
use crate::{
    db::DbError,
    ledger::{Account, AccountKind, Asset, ConstrainedSide, Transfer},
    points::expiry::{FORGET_DAYS, REFUND_DAYS},
    primitives::{AccountId, BusinessDay},
};

pub(super) async fn check(
    conn: &mut MySqlConnection,
    unconstrained: &HashMap<AccountId, Sums>,
    rules: &mut Rules,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<(), DbError> {
    let deleted_lots = deleted_lots(conn).await?;
    let mut accounts = Cursor::<Accounts>::default();
    let mut transfers = Cursor::<ByAccount>::default();
    let mut lots = Cursor::<Lots>::default();
    let mut holds = Cursor::<Holds>::default();
    let mut debts = Debts::default();
    let mut totals: HashMap<Asset, Sums> = HashMap::new();
    let mut met = 0_usize;
    while let Some((id, account)) = accounts.next(conn, report).await? {
        progress.advance(accounts.rows_since_last());
        let Some(kind) = id.kind() else {
            report.violated(
                Invariant::SumsEqualTransfers,
                format!("{id} is of an unknown kind"),
            );
            continue;
        };
        let total = totals.entry(kind.asset()).or_default();
        total.debits_posted = total.debits_posted.saturating_add(account.debits_posted);
        total.credits_posted = total.credits_posted.saturating_add(account.credits_posted);
        total.debits_pending = total.debits_pending.saturating_add(account.debits_pending);
        total.credits_pending = total
            .credits_pending
            .saturating_add(account.credits_pending);
        debts.take(id, kind, &account, report);
        if kind.is_constrained() {
            let mut played = replay(conn, id, &account, &mut transfers, rules, report).await?;
            holds_of(conn, id, &mut played, &mut holds, report).await?;
            lots_of(
                conn,
                id,
                &account,
                (played, deleted_lots),
                &mut lots,
                report,
            )
            .await?;
            progress.advance(transfers.rows_since_last() + lots.rows_since_last());
        } else {
            let said = unconstrained.get(&id).copied().unwrap_or_default();
            met += usize::from(unconstrained.contains_key(&id));
            report.expect(
                Invariant::SumsEqualTransfers,
                said == sums(&account),
                || {
                    format!(
                        "{id} ({}): transfers say {said:?}, the account {:?}",
                        kind.name(),
                        sums(&account)
                    )
                },
            );
        }
    }
    debts.finish(report);
    while let Some(orphan) = lots.next(conn, report).await? {
        without_account(orphan.account, report);
    }
    while let Some(orphan) = holds.next(conn, report).await? {
        without_account(orphan.account, report);
    }
    if let Some(orphan) = transfers.next(conn, report).await? {
        report.violated(
            Invariant::SumsEqualTransfers,
            format!(
                "{:?} touches an account that does not exist",
                orphan.transfer.id
            ),
        );
    }
    report.expect(
        Invariant::SumsEqualTransfers,
        met == unconstrained.len(),
        || {
            format!(
                "transfers touch {} unconstrained accounts, of which {met} exist",
                unconstrained.len()
            )
        },
    );
    for asset in [Asset::Cny, Asset::Points] {
        let total = totals.get(&asset).copied().unwrap_or_default();
        let balanced = total.debits_posted == total.credits_posted
            && total.debits_pending == total.credits_pending;
        report.expect(Invariant::DebitsEqualCredits, balanced, || {
            format!("{asset:?}: {total:?}")
        });
    }
    Ok(())
}

fn sums(account: &Account) -> Sums {
    Sums {
        debits_posted: account.debits_posted,
        credits_posted: account.credits_posted,
        debits_pending: account.debits_pending,
        credits_pending: account.credits_pending,
    }
}

/// The last days whose spent lots may have lost their rows. Today is the day of the database's
/// clock, or of the last commit should that be later.
async fn deleted_lots(conn: &mut MySqlConnection) -> Result<DeletedLots, DbError> {
    let day: time::Date = sqlx::query_scalar(
        "/* verify.forgotten */ SELECT CAST(GREATEST(DATE(GREATEST(UTC_TIMESTAMP(6), COALESCE(MAX(c.committed_at), UTC_TIMESTAMP(6))) + INTERVAL 8 HOUR), \
           COALESCE((SELECT MAX(day) FROM points_expiry_runs), DATE('1970-01-01'))) - INTERVAL ? DAY AS DATE) \
         FROM (SELECT committer, MAX(seq) AS seq FROM commits GROUP BY committer) last JOIN commits c ON c.committer = last.committer AND c.seq = last.seq",
    )
    .bind(FORGET_DAYS)
    .fetch_one(conn)
    .await?;
    let longer = time::Duration::days(i64::from(REFUND_DAYS.saturating_sub(FORGET_DAYS)));
    Ok(DeletedLots {
        spent: BusinessDay(day),
        credited: BusinessDay(day.saturating_sub(longer)),
    })
}

/// Plays a constrained account's transfers in the order of their versions. Returns the lots that
/// they make.
async fn replay(
    conn: &mut MySqlConnection,
    id: AccountId,
    account: &Account,
    transfers: &mut Cursor<ByAccount>,
    rules: &mut Rules,
    report: &mut Report,
) -> Result<LotReplay, DbError> {
    let (mut played, mut version) = (Sums::default(), 0_u32);
    let (mut lots, mut earned) = (LotReplay::default(), DayCount::default());
    while let Some(posting) = transfers.peek(conn, report).await? {
        let transfer = posting.transfer;
        let Some(touched) = transfer.constrained_account() else {
            break;
        };
        if touched > id {
            break;
        }
        transfers.next(conn, report).await?;
        if touched < id {
            report.violated(
                Invariant::SumsEqualTransfers,
                format!("{:?} touches {touched}, which does not exist", transfer.id),
            );
            continue;
        }
        match transfer.constrained_side {
            ConstrainedSide::Debit => played.debit(transfer.phase, transfer.amount),
            ConstrainedSide::Credit => played.credit(transfer.phase, transfer.amount),
            ConstrainedSide::Neither => {}
        }
        version = version.saturating_add(1);
        settled(id, &lots, Some(&transfer), report);
        let problem = lots.play(&transfer, posting.returns_of).err();
        report.expect(Invariant::LotsSumToBalance, problem.is_none(), || {
            format!("{id}: {:?} {}", transfer.id, problem.unwrap_or_default())
        });
        earned.play(conn, &posting, rules, report).await?;
        let posted = played.credits_posted.saturating_sub(played.debits_posted);
        report.expect(
            Invariant::SumsEqualTransfers,
            transfer.account_version == Some(version),
            || {
                format!(
                    "{id}: {:?} states version {:?} where {version} is due",
                    transfer.id, transfer.account_version
                )
            },
        );
        report.expect(
            Invariant::SumsEqualTransfers,
            transfer.balance_after == Some(posted),
            || {
                format!(
                    "{id}: {:?} states a balance of {:?} where {posted} is due",
                    transfer.id, transfer.balance_after
                )
            },
        );
        report.expect(
            Invariant::NeverBelowZero,
            posted.saturating_sub(played.debits_pending) >= 0,
            || {
                format!(
                    "{id} is at {posted} with {} held after {:?}",
                    played.debits_pending, transfer.id
                )
            },
        );
    }
    settled(id, &lots, None, report);
    report.expect(
        Invariant::SumsEqualTransfers,
        played == sums(account) && version == account.version,
        || {
            format!(
                "{id}: transfers say {played:?} at version {version}, the account {:?} at {}",
                sums(account),
                account.version
            )
        },
    );
    report.expect(Invariant::NeverBelowZero, account.available() >= 0, || {
        format!("{id} is at {}", account.available())
    });
    earned.finish(id, account, report);
    Ok(lots)
}

/// Who owes points has none free once an operation is done.
fn settled(id: AccountId, lots: &LotReplay, next: Option<&Transfer>, report: &mut Report) {
    let problem = lots.settled(next).err();
    report.expect(Invariant::PointsFollowTheRule, problem.is_none(), || {
        format!("{id} {}", problem.unwrap_or_default())
    });
}

/// What is noted as held, by day, is what the transfers hold.
async fn holds_of(
    conn: &mut MySqlConnection,
    id: AccountId,
    played: &mut LotReplay,
    holds: &mut Cursor<Holds>,
    report: &mut Report,
) -> Result<(), DbError> {
    while let Some(row) = holds.peek(conn, report).await?
        && row.account <= id
    {
        holds.next(conn, report).await?;
        if row.account < id {
            without_account(row.account, report);
            continue;
        }
        let problem = played.compare_hold(&row).err();
        report.expect(Invariant::LotsSumToBalance, problem.is_none(), || {
            format!("{id}: {}", problem.unwrap_or_default())
        });
    }
    for problem in played.holds_without_row() {
        report.violated(Invariant::LotsSumToBalance, format!("{id}: {problem}"));
    }
    Ok(())
}

/// What is left in the lots of an account is what is posted on it, for whatever is held is still in
/// them; and each lot is what the transfers make it.
async fn lots_of(
    conn: &mut MySqlConnection,
    id: AccountId,
    account: &Account,
    (mut played, deleted_lots): (LotReplay, DeletedLots),
    lots: &mut Cursor<Lots>,
    report: &mut Report,
) -> Result<(), DbError> {
    let (mut left, mut sound) = (0_i64, true);
    while let Some(row) = lots.peek(conn, report).await?
        && row.account <= id
    {
        lots.next(conn, report).await?;
        if row.account < id {
            without_account(row.account, report);
            continue;
        }
        left = left.saturating_add(row.remaining);
        sound &= (0..=row.granted).contains(&row.remaining);
        let problem = played.compare(&row, deleted_lots).err();
        report.expect(Invariant::LotsSumToBalance, problem.is_none(), || {
            format!("{id}: {}", problem.unwrap_or_default())
        });
    }
    for problem in played.without_row(deleted_lots) {
        report.violated(Invariant::LotsSumToBalance, format!("{id}: {problem}"));
    }
    report.expect(
        Invariant::LotsSumToBalance,
        sound && left == account.posted(),
        || {
            format!(
                "{id} holds {} points, and {left} are left in its lots{}",
                account.posted(),
                if sound {
                    ""
                } else {
                    ", of which one is below nothing or above what was granted"
                }
            )
        },
    );
    Ok(())
}

fn without_account(id: AccountId, report: &mut Report) {
    report.violated(
        Invariant::LotsSumToBalance,
        format!("lots or holds of {id}, which is no account that has lots"),
    );
}

/// What a customer owes stands on an account of its own, and beside the points. The two accounts
/// differ in the last byte, and that of the points comes first.
#[derive(Default)]
struct Debts {
    /// The account on which a debt must stand next, and how many points.
    due: Option<(AccountId, i64)>,
}

impl Debts {
    fn take(&mut self, id: AccountId, kind: AccountKind, account: &Account, report: &mut Report) {
        if kind == AccountKind::CustomerPoints {
            self.finish(report);
            self.due = Some((id.debt_of_points(), account.debt.get()));
            return;
        }
        let stands = if kind == AccountKind::CustomerDebt {
            account.debits_posted.saturating_sub(account.credits_posted)
        } else {
            0
        };
        let due = match self.due {
            Some((debt, due)) if debt == id => {
                self.due = None;
                due
            }
            Some(_) | None => 0,
        };
        let alone = account.debt.is_zero();
        report.expect(
            Invariant::SumsEqualTransfers,
            stands == due && alone,
            || format!("{id}: {stands} points are owed, and {due} are noted beside the points"),
        );
    }

    /// A debt that is noted beside the points must have been met on its account.
    fn finish(&mut self, report: &mut Report) {
        if let Some((debt, due)) = self.due.take() {
            report.expect(Invariant::SumsEqualTransfers, due == 0, || {
                format!("{debt}: nothing is owed, and {due} are noted beside the points")
            });
        }
    }
}
