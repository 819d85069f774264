//! Writing a journal entry into a working set. Pure: the group committer loads before and records
//! after.

use super::{
    Account, AccountKind, Accounts, ConstrainedSide, Holds, LedgerError, LotsOf, Phase, Transfer,
    Transfers, UnconstrainedAccounts,
    account::Effect,
    lots::{self, LotRestriction, LotWithdrawal},
    store::AccountIncrement,
};
use crate::{
    db::{Wanted, WorkingSet},
    primitives::{AccountId, BusinessDay, EntryId, Points, TenantId, Timestamp, TransferId},
};

/// One transfer of an entry to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draft {
    pub debit: AccountId,
    pub credit: AccountId,
    /// Fen or points, more than zero.
    pub amount: i64,
    pub pending: bool,
    /// Points that reach a customer: the first day on which they can no longer be used,
    /// [`BusinessDay::NEVER`] unless stated. Points that leave one: the lot that is taken from
    /// before the others, if it has not expired.
    pub lot: Option<BusinessDay>,
    /// Points that leave: the same operation has just granted them in the lot that is named. See
    /// [`Draft::out_of_grant`].
    pub granted: bool,
    /// Points that are spent out of a hold: the pending transfer. See [`Draft::out_of`].
    pub hold: Option<TransferId>,
}

impl Draft {
    pub const fn posted(debit: AccountId, credit: AccountId, amount: i64) -> Self {
        Self {
            debit,
            credit,
            amount,
            pending: false,
            lot: None,
            granted: false,
            hold: None,
        }
    }

    #[must_use]
    pub const fn pending(mut self) -> Self {
        self.pending = true;
        self
    }

    /// Spends a part of what this pending transfer held, after the same operation has voided it:
    /// lots count as expired by the day on which the points were held, and the points are covered
    /// whatever else is held. One transfer for each that is voided.
    #[must_use]
    pub const fn out_of(mut self, hold: TransferId) -> Self {
        self.hold = Some(hold);
        self
    }

    /// Takes out of this lot alone, what the same operation has just granted there: whatever is
    /// held, no hold can miss it. The lots need not have been loaded.
    #[must_use]
    pub const fn out_of_grant(mut self, lot: BusinessDay) -> Self {
        self.lot = Some(lot);
        self.granted = true;
        self
    }

    #[must_use]
    pub const fn expiring(mut self, on: BusinessDay) -> Self {
        self.lot = Some(on);
        self
    }

    /// Takes from this lot before the others, which follow in the order in which they expire.
    #[must_use]
    pub const fn from_lot(mut self, on: Option<BusinessDay>) -> Self {
        self.lot = on;
        self
    }
}

/// Which way a pending entry goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    Post,
    Void,
}

/// Asks for an entry, for operations that have nothing else to tell whether they were done before:
/// see [`is_posted`].
pub fn want_entry(want: &mut Wanted, entry: EntryId) {
    want.row::<Transfers>(TransferId { entry, leg: 0 });
}

/// Whether the entry is in the books. Only after [`want_entry`].
pub fn is_posted(set: &WorkingSet, entry: EntryId) -> bool {
    set.get::<Transfers>(TransferId { entry, leg: 0 }).is_some()
}

/// What [`post`] reads: the constrained accounts, and the lots of those that give.
pub fn want_accounts(want: &mut Wanted, drafts: &[Draft]) {
    for draft in drafts {
        want_legs(want, draft.debit, draft.credit);
    }
}

fn want_legs(want: &mut Wanted, debit: AccountId, credit: AccountId) {
    let is_constrained =
        |account: AccountId| account.kind().is_some_and(AccountKind::is_constrained);
    if is_constrained(debit) {
        want_spending(want, debit);
    }
    if is_constrained(credit) {
        want.row::<Accounts>(credit);
    }
}

/// What crediting a customer's points reads: the account, and of one who owes what would be free.
/// Ask again after each load.
pub fn want_crediting(want: &mut Wanted, set: &WorkingSet, account: AccountId) {
    want.row::<Accounts>(account);
    let loaded = set.has_loaded::<Accounts>(account);
    let row = loaded.then(|| set.get::<Accounts>(account)).flatten();
    if row.is_some_and(|row| !row.debt.is_zero()) {
        want_spending(want, account);
    }
}

/// What a transfer out of a customer's points reads: the account, its lots and what is held of
/// them.
pub fn want_spending(want: &mut Wanted, account: AccountId) {
    want.row::<Accounts>(account);
    want.row::<LotsOf>(account);
    want.row::<Holds>(account);
}

/// Writes a journal entry: every draft is a leg, all or nothing (a refusal of one refuses the
/// operation, which undoes the rest).
///
/// That the entry is new is for the operation to know: from the state of what caused it, or by
/// [`is_posted`]. Should it be wrong, the key refuses the row and the batch runs again on what is
/// really there.
pub fn post(
    set: &mut WorkingSet,
    tenant: TenantId,
    entry: EntryId,
    drafts: &[Draft],
    at: Timestamp,
) -> Result<(), LedgerError> {
    if set
        .written::<Transfers>(TransferId { entry, leg: 0 })
        .is_some()
    {
        return Err(LedgerError::AlreadyPosted);
    }
    for (leg, draft) in drafts.iter().enumerate() {
        let leg = u8::try_from(leg).map_err(|_| LedgerError::Overflow)?;
        let phase = if draft.pending {
            Phase::Pending
        } else {
            Phase::Posted
        };
        let id = TransferId { entry, leg };
        let since = match draft.hold {
            Some(hold) => held_since(set, draft, hold)?,
            None => at,
        };
        put(set, tenant, id, *draft, phase, TransferTimes { since, at })?;
    }
    Ok(())
}

/// Returns when the points were held of which the draft spends a part. Refused unless the hold was
/// voided just now, is of the same account and large enough.
fn held_since(set: &WorkingSet, draft: &Draft, hold: TransferId) -> Result<Timestamp, LedgerError> {
    let void = TransferId {
        entry: hold.entry.resolution(),
        leg: hold.leg,
    };
    let is_void = set
        .written::<Transfers>(void)
        .is_some_and(|transfer| transfer.phase == Phase::Void);
    let pending = set.get::<Transfers>(hold).filter(|transfer| {
        transfer.phase == Phase::Pending
            && transfer.debit == draft.debit
            && transfer.amount >= draft.amount
    });
    match pending {
        Some(pending) if is_void && !draft.pending => Ok(pending.at),
        Some(_) | None => Err(LedgerError::NotPending),
    }
}

/// What [`resolve`] reads of an entry with `legs` transfers. Ask again after each load.
pub fn want_resolution(want: &mut Wanted, set: &WorkingSet, entry: EntryId, legs: u8) {
    want.row::<Transfers>(TransferId {
        entry: entry.resolution(),
        leg: 0,
    });
    for leg in 0..legs {
        let id = TransferId { entry, leg };
        want.row::<Transfers>(id);
        if let Some(transfer) = set
            .has_loaded::<Transfers>(id)
            .then(|| set.get::<Transfers>(id))
            .flatten()
        {
            want_legs(want, transfer.debit, transfer.credit);
            if transfer
                .credit
                .kind()
                .is_some_and(AccountKind::is_constrained)
            {
                want_crediting(want, set, transfer.credit);
            }
        }
    }
}

/// Posts or voids a pending entry with `legs` transfers. It can be resolved once, whichever way.
///
/// `lot`: for points that leave, the lot that is taken from before the others; for points that
/// arrive, the day on which they expire. None: what the pending transfer says.
pub fn resolve(
    set: &mut WorkingSet,
    entry: EntryId,
    legs: u8,
    resolution: Resolution,
    lot: Option<BusinessDay>,
    at: Timestamp,
) -> Result<(), LedgerError> {
    let resolved = entry.resolution();
    if set
        .get::<Transfers>(TransferId {
            entry: resolved,
            leg: 0,
        })
        .is_some()
    {
        return Err(LedgerError::AlreadyPosted);
    }
    for leg in 0..legs {
        let pending = set
            .get::<Transfers>(TransferId { entry, leg })
            .filter(|transfer| transfer.phase == Phase::Pending)
            .copied()
            .ok_or(LedgerError::NotPending)?;
        let phase = match resolution {
            Resolution::Post => Phase::Post,
            Resolution::Void => Phase::Void,
        };
        let draft = Draft {
            debit: pending.debit,
            credit: pending.credit,
            amount: pending.amount,
            pending: false,
            lot: lot.or(pending.lot),
            granted: false,
            hold: None,
        };
        let id = TransferId {
            entry: resolved,
            leg,
        };
        let times = TransferTimes {
            since: pending.at,
            at,
        };
        put(set, pending.tenant, id, draft, phase, times)?;
    }
    Ok(())
}

/// The instants of a transfer.
#[derive(Debug, Clone, Copy)]
struct TransferTimes {
    /// When the amount was held; without a hold the same as `at`.
    since: Timestamp,
    at: Timestamp,
}

/// What the two accounts of a transfer hold.
#[derive(Debug, Clone, Copy)]
struct Kinds {
    debit: AccountKind,
    credit: AccountKind,
}

fn put(
    set: &mut WorkingSet,
    tenant: TenantId,
    id: TransferId,
    draft: Draft,
    phase: Phase,
    TransferTimes { since, at }: TransferTimes,
) -> Result<(), LedgerError> {
    let Draft {
        debit,
        credit,
        amount,
        lot,
        granted,
        hold,
        ..
    } = draft;
    let kinds = Kinds {
        debit: kind(debit)?,
        credit: kind(credit)?,
    };
    if debit == credit {
        return Err(LedgerError::SameAccount);
    }
    if kinds.debit.asset() != kinds.credit.asset() {
        return Err(LedgerError::MixedAssets);
    }
    if amount <= 0 {
        return Err(LedgerError::NothingToMove);
    }
    let constrained_side = match (kinds.debit.is_constrained(), kinds.credit.is_constrained()) {
        (false, false) => ConstrainedSide::Neither,
        (true, false) => ConstrainedSide::Debit,
        (false, true) => ConstrainedSide::Credit,
        (true, true) => return Err(LedgerError::TwoConstrainedAccounts),
    };
    let (on_debit, on_credit) = match phase {
        Phase::Posted => (Effect::PostDebit, Effect::PostCredit),
        Phase::Pending => (Effect::HoldDebit, Effect::HoldCredit),
        Phase::Post => (Effect::PostHeldDebit, Effect::PostHeldCredit),
        Phase::Void => (Effect::DropHeldDebit, Effect::DropHeldCredit),
    };
    let (held_on, today) = (since.business_day(), at.business_day());
    // Who has not loaded the lots can only repay, out of what was granted just now; otherwise there
    // is nothing to take.
    let unread = kinds.credit == AccountKind::CustomerDebt && !set.has_loaded::<LotsOf>(debit);
    let covered = granted || hold.is_some() || unread;
    if constrained_side == ConstrainedSide::Debit
        && !covered
        && needs_free_points(kinds.credit, phase)
    {
        lots::check_free(set, debit, amount, today)?;
    }
    if constrained_side == ConstrainedSide::Debit {
        match phase {
            Phase::Posted => {}
            Phase::Pending => lots::hold(set, tenant, debit, (today, amount))?,
            Phase::Post | Phase::Void => lots::release_hold(set, debit, (held_on, amount))?,
        }
    }
    let mut constrained = None;
    for (account, kind, effect) in [
        (debit, kinds.debit, on_debit),
        (credit, kinds.credit, on_credit),
    ] {
        if kind.is_constrained() {
            let before = set
                .get::<Accounts>(account)
                .copied()
                .unwrap_or(Account::empty(tenant));
            let mut after = before.apply(effect, amount)?;
            after.debt = debt_after(&before, kinds, amount)?;
            constrained = Some((after.version, after.posted()));
            set.put::<Accounts>(account, after);
        } else {
            let before = set
                .written::<UnconstrainedAccounts>(account)
                .copied()
                .unwrap_or(AccountIncrement::none(tenant));
            set.put::<UnconstrainedAccounts>(account, before.apply(effect, amount)?);
        }
    }
    let lot = match constrained_side {
        // Whose day nobody stated last for ever.
        ConstrainedSide::Credit => Some(lot.unwrap_or(BusinessDay::NEVER)),
        ConstrainedSide::Debit => lot,
        ConstrainedSide::Neither => None,
    };
    if matches!(phase, Phase::Posted | Phase::Post) {
        match constrained_side {
            ConstrainedSide::Credit => {
                lots::grant(set, tenant, credit, (lot, at.business_day()), amount)?;
            }
            ConstrainedSide::Debit => {
                let only = if kinds.credit == AccountKind::PointsExpired {
                    Some(LotRestriction::Expiring)
                } else {
                    granted.then_some(LotRestriction::Granted)
                };
                let leaving = LotWithdrawal {
                    amount,
                    named: lot,
                    since: held_on,
                    today,
                    only,
                };
                lots::spend(set, tenant, debit, leaving)?;
            }
            ConstrainedSide::Neither => {}
        }
    }
    set.put::<Transfers>(
        id,
        Transfer {
            id,
            tenant,
            phase,
            debit,
            credit,
            amount,
            constrained_side,
            account_version: constrained.map(|(version, _)| version),
            balance_after: constrained.map(|(_, posted)| posted),
            at,
            lot,
        },
    );
    Ok(())
}

/// Whether points that leave must be free. Not what was held, all or a part of it, which was
/// covered then; and not what expires.
fn needs_free_points(to: AccountKind, phase: Phase) -> bool {
    let new = matches!(phase, Phase::Posted | Phase::Pending);
    new && to != AccountKind::PointsExpired
}

/// A customer's debt after a transfer between the points and the debt account: a shortfall adds to
/// it, a repayment takes from it.
fn debt_after(account: &Account, kinds: Kinds, amount: i64) -> Result<Points, LedgerError> {
    let amount = Points::parse(amount).map_err(|_| LedgerError::Overflow)?;
    if kinds.debit == AccountKind::CustomerDebt {
        account
            .debt
            .checked_add(amount)
            .map_err(|_| LedgerError::Overflow)
    } else if kinds.credit == AccountKind::CustomerDebt {
        account
            .debt
            .checked_sub(amount)
            .map_err(|_| LedgerError::NothingOwed)
    } else {
        Ok(account.debt)
    }
}

fn kind(account: AccountId) -> Result<AccountKind, LedgerError> {
    account.kind().ok_or(LedgerError::UnknownAccountKind)
}
