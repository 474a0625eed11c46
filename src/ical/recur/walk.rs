//! Walking over one rule's starts, forwards from anywhere, and looking back for the last one.

use super::super::time::DAY_SECONDS;
use super::engine::{Counted, Engine, LAST, Period};
use super::{Budget, RecurError};

impl Engine {
    /// A walk over the starts from `from` on.
    pub(super) fn walk(&self, from: i64, budget: &mut Budget) -> Result<Walk<'_>, RecurError> {
        let mut walk = Walk {
            engine: self,
            period: Period::new(),
            index: None,
            next: 0,
            left: i64::MAX,
        };
        walk.seek(from, budget)?;
        Ok(walk)
    }

    /// The last start before `before`, found by looking back over spans that grow.
    pub(super) fn last_before(
        &self,
        before: i64,
        budget: &mut Budget,
    ) -> Result<Option<i64>, RecurError> {
        let mut before = before;
        let mut span = DAY_SECONDS;
        while before > self.start {
            let from = before.saturating_sub(span).max(self.start);
            let mut last = None;
            let mut walk = self.walk(from, budget)?;
            while let Some(start) = walk.next(budget)?.filter(|start| *start < before) {
                budget.spend()?;
                last = Some(start);
            }
            if last.is_some() {
                return Ok(last);
            }
            before = from;
            span = span.saturating_mul(4);
        }
        Ok(None)
    }
}

/// A walk over one rule's starts, in order.
#[derive(Debug, Clone)]
pub(super) struct Walk<'engine> {
    engine: &'engine Engine,
    period: Period,
    /// The loaded period's number; `None` when nothing is left.
    index: Option<i64>,
    /// Place in the loaded period.
    next: usize,
    /// Starts that COUNT still allows.
    left: i64,
}

impl Walk<'_> {
    /// Jumps to the first start from `from` on.
    pub(super) fn seek(&mut self, from: i64, budget: &mut Budget) -> Result<(), RecurError> {
        let engine = self.engine;
        let from = from.max(engine.start);
        self.index = None;
        if from > LAST {
            return Ok(());
        }
        if engine.count.is_some() {
            let allowed = engine.allowance(budget)?;
            if allowed == 0 {
                return Ok(());
            }
            self.left = match engine.counted(from, allowed, budget)? {
                Counted::Before(count) => allowed - count,
                Counted::Reached(_) => return Ok(()),
            };
        }
        self.index = engine.load(engine.index_of(from), &mut self.period, budget)?;
        self.next = match self.index {
            Some(_) => self.period.before(&engine.times, from),
            None => 0,
        };
        Ok(())
    }

    /// The next start.
    pub(super) fn next(&mut self, budget: &mut Budget) -> Result<Option<i64>, RecurError> {
        let times = &self.engine.times;
        while let (Some(index), 1..) = (self.index, self.left) {
            if self.next < self.period.len(times) {
                let start = self.period.get(times, self.next);
                self.next += 1;
                self.left -= 1;
                return Ok((start <= LAST).then_some(start));
            }
            self.index = self.engine.load(index + 1, &mut self.period, budget)?;
            self.next = 0;
        }
        Ok(None)
    }
}
