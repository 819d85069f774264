//! Writing a journal entry into a working set. Pure: the group committer loads before and records after.

use super::{
    Account, Accounts, CheckedSide, HotAccounts, LedgerError, Lots, Phase, Transfer, Transfers,
    account::Effect,
    store::{HotSums, LotGrant},
};
use crate::{
    db::{Wanted, WorkingSet},
    primitives::{
        AccountId, AccountKind, BusinessDay, EntryId, Points, TenantId, Timestamp, TransferId,
    },
};

/// One transfer of an entry to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draft {
    pub debit: AccountId,
    pub credit: AccountId,
    /// Fen or points, more than zero.
    pub amount: i64,
    pub pending: bool,
    /// For points that reach a customer: the first day on which they are gone.
    pub lot: Option<BusinessDay>,
}

impl Draft {
    pub const fn posted(debit: AccountId, credit: AccountId, amount: i64) -> Self {
        Self {
            debit,
            credit,
            amount,
            pending: false,
            lot: None,
        }
    }

    #[must_use]
    pub const fn pending(mut self) -> Self {
        self.pending = true;
        self
    }

    #[must_use]
    pub const fn expiring(mut self, on: BusinessDay) -> Self {
        self.lot = Some(on);
        self
    }
}

/// Which way a pending entry goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    Post,
    Void,
}

/// Asks for an entry, for operations that have nothing else to tell whether they were done before: see [`is_posted`].
pub fn want_entry(want: &mut Wanted, entry: EntryId) {
    want.row::<Transfers>(TransferId { entry, leg: 0 });
}

/// Whether the entry is in the books. Only after [`want_entry`].
pub fn is_posted(set: &WorkingSet, entry: EntryId) -> bool {
    set.get::<Transfers>(TransferId { entry, leg: 0 }).is_some()
}

/// What [`post`] reads: the checked accounts.
pub fn want_accounts(want: &mut Wanted, drafts: &[Draft]) {
    for draft in drafts {
        for account in [draft.debit, draft.credit] {
            want_account(want, account);
        }
    }
}

fn want_account(want: &mut Wanted, account: AccountId) {
    if account.kind().is_some_and(AccountKind::is_checked) {
        want.row::<Accounts>(account);
    }
}

/// Writes a journal entry: every draft is a leg, all or nothing (a refusal of one refuses the operation, which undoes the rest).
///
/// That the entry is new is for the operation to know: from the state of what caused it, or by [`is_posted`]. Should it be wrong, the key
/// refuses the row and the batch runs again on what is really there.
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
        put(set, tenant, TransferId { entry, leg }, *draft, phase, at)?;
    }
    Ok(())
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
            want_account(want, transfer.debit);
            want_account(want, transfer.credit);
        }
    }
}

/// Posts or voids a pending entry with `legs` transfers. It can be resolved once, whichever way.
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
            lot,
        };
        put(
            set,
            pending.tenant,
            TransferId {
                entry: resolved,
                leg,
            },
            draft,
            phase,
            at,
        )?;
    }
    Ok(())
}

fn put(
    set: &mut WorkingSet,
    tenant: TenantId,
    id: TransferId,
    draft: Draft,
    phase: Phase,
    at: Timestamp,
) -> Result<(), LedgerError> {
    let Draft {
        debit,
        credit,
        amount,
        lot,
        ..
    } = draft;
    let kinds = (kind(debit)?, kind(credit)?);
    if debit == credit {
        return Err(LedgerError::SameAccount);
    }
    if kinds.0.asset() != kinds.1.asset() {
        return Err(LedgerError::MixedAssets);
    }
    if amount <= 0 {
        return Err(LedgerError::NothingToMove);
    }
    let checked_side = match (kinds.0.is_checked(), kinds.1.is_checked()) {
        (false, false) => CheckedSide::Neither,
        (true, false) => CheckedSide::Debit,
        (false, true) => CheckedSide::Credit,
        (true, true) => return Err(LedgerError::TwoCheckedAccounts),
    };
    let (on_debit, on_credit) = match phase {
        Phase::Posted => (Effect::PostDebit, Effect::PostCredit),
        Phase::Pending => (Effect::HoldDebit, Effect::HoldCredit),
        Phase::Post => (Effect::PostHeldDebit, Effect::PostHeldCredit),
        Phase::Void => (Effect::DropHeldDebit, Effect::DropHeldCredit),
    };
    let mut checked = None;
    for (account, kind, effect) in [(debit, kinds.0, on_debit), (credit, kinds.1, on_credit)] {
        if kind.is_checked() {
            let before = set
                .get::<Accounts>(account)
                .copied()
                .unwrap_or(Account::empty(tenant));
            let after = before.apply(effect, amount)?;
            checked = Some((after.version, after.posted()));
            set.put::<Accounts>(account, after);
        } else {
            let before = set
                .get::<HotAccounts>(account)
                .copied()
                .unwrap_or(HotSums::none(tenant));
            set.put::<HotAccounts>(account, before.apply(effect, amount)?);
        }
    }
    if let Some(on) = lot
        && checked_side == CheckedSide::Credit
        && matches!(phase, Phase::Posted | Phase::Post)
    {
        let key = (credit, on);
        let before = set.get::<Lots>(key).copied().unwrap_or(LotGrant {
            tenant,
            granted: Points::ZERO,
        });
        let more = Points::parse(amount).map_err(|_| LedgerError::Overflow)?;
        let granted = before
            .granted
            .checked_add(more)
            .map_err(|_| LedgerError::Overflow)?;
        set.put::<Lots>(key, LotGrant { tenant, granted });
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
            checked_side,
            account_version: checked.map(|(version, _)| version),
            balance_after: checked.map(|(_, posted)| posted),
            at,
        },
    );
    Ok(())
}

fn kind(account: AccountId) -> Result<AccountKind, LedgerError> {
    account.kind().ok_or(LedgerError::UnknownAccountKind)
}
