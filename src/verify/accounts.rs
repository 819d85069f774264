//! Accounts against their transfers: invariants 2, 3 and 4.

use std::collections::HashMap;

use sqlx::MySqlConnection;

use super::{
    Invariant, Progress, Report,
    entries::Sums,
    pages::{Accounts, ByAccount, Cursor},
};
use crate::{
    db::DbError,
    ledger::{Account, CheckedSide},
    primitives::{AccountId, Asset},
};

pub(super) async fn check(
    conn: &mut MySqlConnection,
    unlimited: &HashMap<AccountId, Sums>,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<(), DbError> {
    let mut accounts = Cursor::<Accounts>::default();
    let mut transfers = Cursor::<ByAccount>::default();
    let mut totals: HashMap<Asset, Sums> = HashMap::new();
    let mut met = 0_usize;
    while let Some((id, account)) = accounts.next(conn).await? {
        progress.advance(accounts.news());
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
        if kind.is_checked() {
            replay(conn, id, &account, &mut transfers, report).await?;
            progress.advance(transfers.news());
        } else {
            let said = unlimited.get(&id).copied().unwrap_or_default();
            met += usize::from(unlimited.contains_key(&id));
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
    if let Some(orphan) = transfers.next(conn).await? {
        report.violated(
            Invariant::SumsEqualTransfers,
            format!("{:?} touches an account that does not exist", orphan.id),
        );
    }
    report.expect(
        Invariant::SumsEqualTransfers,
        met == unlimited.len(),
        || {
            format!(
                "transfers touch {} unlimited accounts, of which {met} exist",
                unlimited.len()
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

/// Plays a checked account's transfers in the order of their versions.
async fn replay(
    conn: &mut MySqlConnection,
    id: AccountId,
    account: &Account,
    transfers: &mut Cursor<ByAccount>,
    report: &mut Report,
) -> Result<(), DbError> {
    let (mut played, mut version) = (Sums::default(), 0_u32);
    while let Some(transfer) = transfers.peek(conn).await? {
        let Some(touched) = transfer.checked_account() else {
            break;
        };
        if touched > id {
            break;
        }
        transfers.next(conn).await?;
        if touched < id {
            report.violated(
                Invariant::SumsEqualTransfers,
                format!("{:?} touches {touched}, which does not exist", transfer.id),
            );
            continue;
        }
        match transfer.checked_side {
            CheckedSide::Debit => played.debit(transfer.phase, transfer.amount),
            CheckedSide::Credit => played.credit(transfer.phase, transfer.amount),
            CheckedSide::Neither => {}
        }
        version = version.saturating_add(1);
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
                    "{id} is at {posted} with {} set aside after {:?}",
                    played.debits_pending, transfer.id
                )
            },
        );
    }
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
    Ok(())
}
