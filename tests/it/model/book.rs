//! What the books must say, kept as a person would with pencil and paper: a list of lots, a list of
//! holds, a few counters. No ids, no versions, no accounts, no database.

use std::collections::BTreeMap;

use zhangfang::primitives::BusinessDay;

/// How payments earn: one point for each whole yuan times `ratio`, within the caps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) ratio: i64,
    pub(crate) daily_cap: Option<i64>,
    pub(crate) total_cap: Option<i64>,
    /// Whole days that points last after the day of the credit; none: for ever.
    pub(crate) days: Option<u32>,
    /// A refund of points that were spent is refused; otherwise the customer owes them.
    pub(crate) refuse: bool,
}

/// Why something is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum No {
    /// More than the customer can spend.
    Short,
    /// More money than is left of the payment.
    TooMuch,
    /// The time of the hold is over.
    Over,
}

/// One customer's points.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Purse {
    /// First day on which they are gone, and how many.
    pub(crate) lots: BTreeMap<BusinessDay, i64>,
    pub(super) debt: i64,
    /// By the number of the hold: points, and the day on which they were held.
    pub(super) holds: BTreeMap<usize, (i64, BusinessDay)>,
    /// By the number of the hold, those of back ends: the second from which on nothing can be spent
    /// of it.
    pub(super) until: BTreeMap<usize, i64>,
    /// What expired of lots unspent, less what refunds counted as given back.
    pub(super) expired_of_lot: BTreeMap<BusinessDay, i64>,
    /// The last day on which a payment earned anything, and how much it was on that day.
    pub(super) earned: Option<(BusinessDay, i64)>,
}

#[derive(Debug, Clone, Copy)]
struct Payment {
    who: usize,
    fen: i64,
    points: i64,
    lot: BusinessDay,
    /// Of refunds on the table: money, points.
    asked: i64,
    back: i64,
}

#[derive(Debug, Clone, Copy)]
struct Refund {
    payment: usize,
    fen: i64,
    due: i64,
    /// Of these, run out before.
    expired: i64,
    shortfall: i64,
    hold: usize,
    open: bool,
}

/// Everything. Payments, refunds and holds are numbered as they come.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) terms: Terms,
    pub(super) today: BusinessDay,
    /// In seconds, as the clock says.
    pub(super) now: i64,
    pub(super) purses: Vec<Purse>,
    pub(super) granted: i64,
    payments: Vec<Payment>,
    refunds: Vec<Refund>,
    holds: usize,
    /// What points transactions took of which lots and was not given back, in the order in which
    /// they took it.
    pub(super) spent: Vec<(usize, BTreeMap<BusinessDay, i64>)>,
    /// What happened how often, of what should happen in a test that is worth its name.
    pub(super) seen: BTreeMap<&'static str, usize>,
}

impl Purse {
    pub(super) fn posted(&self) -> i64 {
        self.lots.values().sum()
    }

    pub(super) fn held(&self) -> i64 {
        self.holds.values().map(|(points, _)| points).sum()
    }

    /// As much as can be taken so that every hold, the youngest first, still finds what it may use:
    /// tried point by point, as nobody would who has many.
    fn spendable(&self, today: BusinessDay) -> i64 {
        let mut lots = self.lots.clone();
        let mut holds: Vec<(i64, BusinessDay)> = self.holds.values().copied().collect();
        holds.sort_by_key(|(_, since)| std::cmp::Reverse(*since));
        // What a young hold may use, an older one may too: so it takes first, and what is over for
        // everybody else before the rest.
        for (mut points, since) in holds {
            let mut days: Vec<BusinessDay> = lots.keys().copied().collect();
            days.retain(|day| *day > since);
            days.sort_by_key(|day| (*day > today, *day));
            for day in days {
                let left = lots.get_mut(&day).unwrap();
                let part = points.min(*left);
                *left -= part;
                points -= part;
            }
            assert_eq!(points, 0, "a hold that cannot be had: {self:?}");
        }
        lots.range(today.plus_days(1)..).map(|(_, left)| left).sum()
    }

    /// What is owed is repaid out of what can be spent; gives how much.
    fn repay(&mut self, named: Option<BusinessDay>, today: BusinessDay) -> i64 {
        let repaid = self.debt.min(self.spendable(today));
        self.debt -= repaid;
        self.take(repaid, named, today, today);
        repaid
    }

    /// What is over and would run out now, by lot: all but what holds can use, the youngest lots
    /// first. Point by point, each is kept if with those that are kept already it finds holds that
    /// may use all of them.
    fn over(&self, today: BusinessDay) -> BTreeMap<BusinessDay, i64> {
        let mut kept: Vec<BusinessDay> = Vec::new();
        let mut going = BTreeMap::new();
        for (day, left) in self.lots.range(..=today).rev() {
            for index in 0..*left {
                kept.push(*day);
                let of_use = kept.iter().all(|until| {
                    let needs = kept.iter().filter(|day| **day <= *until).count();
                    let may = self.holds.values().filter(|(_, since)| since < until);
                    i64::try_from(needs).unwrap() <= may.map(|(points, _)| points).sum()
                });
                if !of_use {
                    kept.pop();
                    going.insert(*day, left - index);
                    break;
                }
            }
        }
        going
    }

    fn put(&mut self, lot: BusinessDay, points: i64) {
        if points > 0 {
            *self.lots.entry(lot).or_default() += points;
        }
    }

    /// Takes from lots that were not over on `since`: first what is over by now, then the named
    /// lot, then by day. What it takes of which.
    fn take(
        &mut self,
        mut points: i64,
        named: Option<BusinessDay>,
        since: BusinessDay,
        today: BusinessDay,
    ) -> BTreeMap<BusinessDay, i64> {
        let mut taken = BTreeMap::new();
        let mut days: Vec<BusinessDay> = self
            .lots
            .keys()
            .copied()
            .filter(|day| *day > since)
            .collect();
        days.sort_by_key(|day| {
            let rank = match () {
                () if *day <= today => 0,
                () if Some(*day) == named => 1,
                () => 2,
            };
            (rank, *day)
        });
        for day in days {
            let left = self.lots.get_mut(&day).unwrap();
            let part = points.min(*left);
            *left -= part;
            points -= part;
            if part > 0 {
                taken.insert(day, part);
            }
        }
        assert_eq!(points, 0, "the model takes what is not there: {self:?}");
        self.lots.retain(|_, left| *left > 0);
        taken
    }
}

impl Model {
    /// The day, and the second of the clock.
    pub(super) fn new(terms: Terms, (today, now): (BusinessDay, i64), customers: usize) -> Self {
        Self {
            terms,
            today,
            now,
            purses: vec![Purse::default(); customers],
            granted: 0,
            payments: Vec::new(),
            refunds: Vec::new(),
            holds: 0,
            spent: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    fn see(&mut self, what: &'static str, happened: bool) {
        *self.seen.entry(what).or_default() += usize::from(happened);
    }

    /// What this customer can spend or hold today.
    pub(super) fn spendable(&self, who: usize) -> i64 {
        self.purses[who].spendable(self.today)
    }

    /// Holds of this customer that are still there, refunds not counted.
    pub(super) fn open_holds(&self, who: usize) -> Vec<usize> {
        let of_refund = |hold: usize| self.refunds.iter().any(|refund| refund.hold == hold);
        let holds = self.purses[who].holds.keys().copied();
        holds.filter(|hold| !of_refund(*hold)).collect()
    }

    pub(super) fn open_refunds(&self) -> Vec<usize> {
        (0..self.refunds.len())
            .filter(|refund| self.refunds[*refund].open)
            .collect()
    }

    /// A payment is settled; gives what it earns.
    pub(super) fn pay(&mut self, who: usize, fen: i64) -> i64 {
        let Terms {
            ratio,
            daily_cap,
            total_cap,
            days,
            ..
        } = self.terms;
        let purse = &mut self.purses[who];
        let today = match purse.earned {
            Some((day, points)) if day == self.today => points,
            _ => 0,
        };
        let said = fen * ratio / 100;
        let (mut points, mut repaid) = (said, 0);
        if let Some(cap) = daily_cap {
            points = points.min((cap - today).max(0));
        }
        if let Some(cap) = total_cap {
            points = points.min((cap - self.granted).max(0));
        }
        let lot = days.map_or(BusinessDay::NEVER, |days| self.today.plus_days(days + 1));
        if points > 0 {
            purse.earned = Some((self.today, today + points));
            self.granted += if total_cap.is_some() { points } else { 0 };
            repaid = points.min(purse.debt);
            purse.debt -= repaid;
            purse.put(lot, points - repaid);
        }
        self.payments.push(Payment {
            who,
            fen,
            points,
            lot,
            asked: 0,
            back: 0,
        });
        self.see("a cap cuts", points < said);
        self.see("a debt is repaid", repaid > 0);
        points
    }

    /// A refund is asked for and taken by WeChat; what the customer must give back is held.
    pub(super) fn ask_refund(&mut self, number: usize, fen: i64) -> Result<(), No> {
        let payment = &mut self.payments[number];
        if payment.asked + fen > payment.fen {
            self.see("more than was paid is refused", true);
            return Err(No::TooMuch);
        }
        let (who, lot) = (payment.who, payment.lot);
        let due = payment.points * (payment.asked + fen) / payment.fen - payment.back;
        let going = self.purses[who]
            .over(self.today)
            .get(&lot)
            .copied()
            .unwrap_or(0);
        let gone = self.purses[who]
            .expired_of_lot
            .get(&lot)
            .copied()
            .unwrap_or(0);
        let expired = due.min(gone + going);
        let taken = due - expired;
        let shortfall = (taken - self.purses[who].spendable(self.today)).max(0);
        if self.terms.refuse && shortfall > 0 {
            self.see("a refund of spent points is refused", true);
            return Err(No::Short);
        }
        // What would run out tonight runs out now, so that it is counted once.
        if due > 0 && going > 0 {
            self.expire(who);
            self.see("a refund sweeps", true);
        }
        let payment = &mut self.payments[number];
        let purse = &mut self.purses[who];
        if expired > 0 {
            *purse.expired_of_lot.entry(lot).or_default() -= expired;
        }
        payment.asked += fen;
        payment.back += due;
        purse.put(BusinessDay::NEVER, shortfall);
        purse.debt += shortfall;
        self.holds += 1;
        if taken > 0 {
            purse.holds.insert(self.holds, (taken, self.today));
        }
        self.refunds.push(Refund {
            payment: number,
            fen,
            due,
            expired,
            shortfall,
            hold: self.holds,
            open: true,
        });
        self.see("a clawback falls short", shortfall > 0);
        self.see("what expired counts as given back", expired > 0);
        Ok(())
    }

    /// The refund arrives: the points go, from the payment's lot first. Said again, nothing.
    pub(super) fn arrive(&mut self, number: usize) {
        let Some((refund, payment)) = self.end(number) else {
            return;
        };
        let purse = &mut self.purses[payment.who];
        if let Some((points, since)) = purse.holds.remove(&refund.hold) {
            purse.take(points, Some(payment.lot), since, self.today);
        }
        // The campaign may give them again; the day may not.
        let taken = refund.due - refund.expired;
        if self.terms.total_cap.is_some() && taken > 0 {
            self.granted -= taken;
            self.see("a total cap gets something back", true);
        }
    }

    /// It will not happen: the hold is released, and what is owed is repaid out of them, as far as
    /// they are free.
    pub(super) fn undo(&mut self, number: usize) {
        let Some((refund, payment)) = self.end(number) else {
            return;
        };
        self.payments[refund.payment].asked -= refund.fen;
        self.payments[refund.payment].back -= refund.due;
        let purse = &mut self.purses[payment.who];
        if refund.expired > 0 {
            *purse.expired_of_lot.entry(payment.lot).or_default() += refund.expired;
        }
        if purse.holds.remove(&refund.hold).is_none() {
            return;
        }
        let owed = purse.debt;
        let due = owed.min(purse.spendable(self.today));
        let named = (due <= refund.shortfall).then_some(BusinessDay::NEVER);
        let repaid = purse.repay(named, self.today);
        let stays = refund.shortfall > 0 && repaid < refund.shortfall.min(owed);
        self.see("a shortfall is taken back", repaid > 0);
        self.see("a shortfall is needed elsewhere", stays);
    }

    fn end(&mut self, number: usize) -> Option<(Refund, Payment)> {
        let refund = self.refunds[number];
        self.refunds[number].open = false;
        refund.open.then(|| (refund, self.payments[refund.payment]))
    }

    /// Points are given, and what is free then repays a debt: all of them, or of points that are
    /// over already what an older hold can do with.
    pub(super) fn award(&mut self, who: usize, points: i64, lot: BusinessDay) {
        let today = self.today;
        let purse = &mut self.purses[who];
        purse.put(lot, points);
        purse.repay((lot > today).then_some(lot), today);
    }

    pub(super) fn deduct(&mut self, who: usize, points: i64) -> Result<(), No> {
        let purse = &mut self.purses[who];
        if points > purse.spendable(self.today) {
            self.see("spending is refused", true);
            return Err(No::Short);
        }
        let taken = purse.take(points, None, self.today, self.today);
        self.spent.push((who, taken));
        Ok(())
    }

    /// So many points of what a points transaction took go back: the lots that expire last first,
    /// and what they owe is repaid out of those that have not expired.
    pub(super) fn give_back(&mut self, number: usize, points: i64) -> Result<(), No> {
        let (who, taken) = &mut self.spent[number];
        let purse = &mut self.purses[*who];
        if points > taken.values().sum() {
            self.see("more than was taken is not returned", true);
            return Err(No::TooMuch);
        }
        let (mut due, mut over) = (points, false);
        let mut back = Vec::new();
        for (lot, left) in taken.iter_mut().rev() {
            let part = due.min(*left);
            *left -= part;
            due -= part;
            over |= part > 0 && *lot <= self.today;
            purse.put(*lot, part);
            if part > 0 && *lot > self.today {
                back.push((*lot, part));
            }
        }
        // Of what came back as far as it goes, of whatever else an older hold leaves free.
        let mut owed = purse.debt.min(purse.spendable(self.today));
        purse.debt -= owed;
        for (lot, part) in back {
            let repaid = owed.min(part);
            owed -= repaid;
            *purse.lots.get_mut(&lot).unwrap() -= repaid;
        }
        purse.take(owed, None, self.today, self.today);
        purse.lots.retain(|_, left| *left > 0);
        self.see("what is over is returned", over);
        Ok(())
    }

    /// For so many minutes. Gives the number of the hold.
    pub(super) fn hold(&mut self, who: usize, points: i64, minutes: i64) -> Result<usize, No> {
        let purse = &mut self.purses[who];
        if points > purse.spendable(self.today) {
            self.see("spending is refused", true);
            return Err(No::Short);
        }
        self.holds += 1;
        purse.holds.insert(self.holds, (points, self.today));
        purse.until.insert(self.holds, self.now + minutes * 60);
        Ok(self.holds)
    }

    /// All but `less` of what is held is spent, the rest released.
    pub(super) fn capture(&mut self, who: usize, hold: usize, less: i64) -> Result<(), No> {
        if self.is_over(who, hold) {
            self.see("a hold's time is over", true);
            return Err(No::Over);
        }
        let purse = &mut self.purses[who];
        let (points, since) = purse.holds.remove(&hold).unwrap();
        let taken = purse.take(points - less, None, since, self.today);
        let outlived = taken.keys().any(|day| *day <= self.today);
        self.spent.push((who, taken));
        let repaid = purse.repay(None, self.today);
        self.see("a hold outlives its lots", outlived);
        self.see("a part outlives its lots", outlived && less > 0);
        self.see("a hold that is released repays", repaid > 0);
        Ok(())
    }

    /// How much is held.
    pub(super) fn held_by(&self, who: usize, hold: usize) -> i64 {
        self.purses[who].holds[&hold].0
    }

    fn is_over(&self, who: usize, hold: usize) -> bool {
        self.purses[who].until[&hold] <= self.now
    }

    /// True if its time was over.
    pub(super) fn time_out(&mut self, who: usize, hold: usize) -> bool {
        let over = self.is_over(who, hold);
        if over {
            self.release(who, hold);
        }
        over
    }

    pub(super) fn release(&mut self, who: usize, hold: usize) {
        let purse = &mut self.purses[who];
        purse.holds.remove(&hold).unwrap();
        let repaid = purse.repay(None, self.today);
        self.see("a hold that is released repays", repaid > 0);
    }

    /// What is over goes, but for what holds can use of it. Gives how many went.
    pub(super) fn expire(&mut self, who: usize) -> i64 {
        let purse = &mut self.purses[who];
        let over: i64 = purse.lots.range(..=self.today).map(|(_, left)| left).sum();
        let going = purse.over(self.today);
        for (lot, part) in &going {
            *purse.lots.get_mut(lot).unwrap() -= part;
            *purse.expired_of_lot.entry(*lot).or_default() += part;
        }
        purse.lots.retain(|_, left| *left > 0);
        let due = going.values().sum();
        self.see("points expire", due > 0);
        self.see("a hold keeps what is over", over > due);
        due
    }
}
