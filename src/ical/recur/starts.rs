//! Walking over a recurrence set: the starts of all its rules and dates merged, exclusions left out.

use super::super::time::{DAY_SECONDS, Instant, LocalTime};
use super::set::{Extra, Occurrence, RuleSet, Source, Until};
use super::walk::Walk;
use super::{Budget, RecurError};

impl RuleSet {
    /// `starts`, in local seconds.
    pub(super) fn starts_between(&self, from: i64, to: i64) -> Starts<'_> {
        Starts {
            set: self,
            from,
            to,
            rules: Vec::new(),
            exclusion_rules: Vec::new(),
            next_date: self.dates.partition_point(|extra| extra.local < from),
            start_is_due: self.start >= from,
            stage: Stage::New,
            budget: Budget::new(),
        }
    }

    /// Whether the set holds this local time before exclusions.
    fn produces(&self, local: i64, budget: &mut Budget) -> Result<bool, RecurError> {
        let date = self.dates.binary_search_by_key(&local, |extra| extra.local);
        if local == self.start || date.is_ok() {
            return Ok(true);
        }
        for source in &self.rules {
            let lane = Lane::new(self, source, local, budget)?;
            if lane.head == Some(local) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// One rule while it is walked, with its next start.
#[derive(Debug, Clone)]
struct Lane<'set> {
    set: &'set RuleSet,
    until: Until,
    walk: Walk<'set>,
    head: Option<i64>,
}

impl<'set> Lane<'set> {
    fn new(
        set: &'set RuleSet,
        source: &'set Source,
        from: i64,
        budget: &mut Budget,
    ) -> Result<Self, RecurError> {
        let mut lane = Lane {
            set,
            until: source.until,
            walk: source.engine.walk(from, budget)?,
            head: None,
        };
        lane.advance(budget)?;
        Ok(lane)
    }

    /// Goes to the next start that UNTIL allows.
    fn advance(&mut self, budget: &mut Budget) -> Result<(), RecurError> {
        loop {
            self.head = self.walk.next(budget)?;
            let (Some(start), Until::Instant { until, sure, last }) = (self.head, self.until)
            else {
                break;
            };
            // Far from UNTIL the local time tells; near it the instant does, which is not quite in
            // the same order.
            if start < sure {
                return Ok(());
            }
            if start > last {
                self.head = None;
                return Ok(());
            }
            let instant = self
                .set
                .zone
                .local_to_instant(LocalTime::from_seconds(start));
            if instant <= until {
                return Ok(());
            }
            budget.spend()?;
        }
        if let Until::Local(until) = self.until {
            self.head = self.head.filter(|start| *start <= until);
        }
        Ok(())
    }

    /// Goes to the first start at or after `time`.
    fn catch_up(&mut self, time: i64, budget: &mut Budget) -> Result<(), RecurError> {
        let mut tries = 0;
        while self.head.is_some_and(|head| head < time) {
            budget.spend()?;
            tries += 1;
            // A jump with COUNT counts anew, so it is the last resort.
            if tries == 100 {
                self.walk.seek(time, budget)?;
            }
            self.advance(budget)?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Walking,
    Done,
}

/// The instances of a window; see `RuleSet::starts`.
#[derive(Debug, Clone)]
pub struct Starts<'set> {
    set: &'set RuleSet,
    from: i64,
    to: i64,
    rules: Vec<Lane<'set>>,
    exclusion_rules: Vec<Lane<'set>>,
    next_date: usize,
    start_is_due: bool,
    stage: Stage,
    budget: Budget,
}

impl Starts<'_> {
    fn begin(&mut self) -> Result<(), RecurError> {
        let set = self.set;
        for source in &set.rules {
            self.rules
                .push(Lane::new(set, source, self.from, &mut self.budget)?);
        }
        for source in &set.exclusion_rules {
            let lane = Lane::new(set, source, self.from, &mut self.budget)?;
            self.exclusion_rules.push(lane);
        }
        self.stage = Stage::Walking;
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Occurrence>, RecurError> {
        if self.stage == Stage::New {
            self.begin()?;
        }
        loop {
            let Some((local, date)) = self.take_next()? else {
                return Ok(None);
            };
            let start = LocalTime::from_seconds(local);
            let instant = match date {
                Some(extra) => extra.instant,
                None => self.set.zone.local_to_instant(start),
            };
            if self.is_excluded(local, instant)? || self.is_shadow(local, instant)? {
                self.budget.spend()?;
                continue;
            }
            return Ok(Some(Occurrence {
                start,
                instant,
                date_index: date.map(|extra| extra.index),
            }));
        }
    }

    /// Takes the next local start off all that produce it, with the RDATE that counts for it.
    fn take_next(&mut self) -> Result<Option<(i64, Option<Extra>)>, RecurError> {
        let dates = &self.set.dates;
        let heads = self.rules.iter().filter_map(|lane| lane.head);
        let due = self.start_is_due.then_some(self.set.start);
        let date = dates.get(self.next_date).copied();
        let next = heads.chain(due).chain(date.map(|extra| extra.local)).min();
        let Some(next) = next.filter(|next| *next < self.to) else {
            return Ok(None);
        };
        let mut from_rule = false;
        for lane in &mut self.rules {
            if lane.head == Some(next) {
                from_rule = true;
                lane.advance(&mut self.budget)?;
            }
        }
        if due == Some(next) {
            from_rule = true;
            self.start_is_due = false;
        }
        let mut chosen: Option<Extra> = None;
        while let Some(extra) = dates
            .get(self.next_date)
            .filter(|extra| extra.local == next)
        {
            self.next_date += 1;
            let better = match chosen {
                Some(chosen) => extra.period && !chosen.period,
                None => extra.period || !from_rule,
            };
            if better {
                chosen = Some(*extra);
            }
        }
        Ok(Some((next, chosen)))
    }

    fn is_excluded(&mut self, local: i64, instant: Instant) -> Result<bool, RecurError> {
        let set = self.set;
        if set.excluded.binary_search(&local).is_ok()
            || set.excluded_instants.binary_search(&instant).is_ok()
            || set
                .excluded_days
                .binary_search(&local.div_euclid(DAY_SECONDS))
                .is_ok()
        {
            return Ok(true);
        }
        for lane in &mut self.exclusion_rules {
            lane.catch_up(local, &mut self.budget)?;
            if lane.head == Some(local) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the clock never shows this start, and the time that stands for it is a start itself.
    fn is_shadow(&mut self, local: i64, instant: Instant) -> Result<bool, RecurError> {
        let shown = self.set.zone.instant_to_local(instant).seconds();
        Ok(shown > local && self.set.produces(shown, &mut self.budget)?)
    }
}

impl Iterator for Starts<'_> {
    type Item = Result<Occurrence, RecurError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stage == Stage::Done {
            return None;
        }
        let next = self.advance().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.stage = Stage::Done;
        }
        next
    }
}
