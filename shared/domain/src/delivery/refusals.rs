//! What a worker makes of refusals: whether they are one recipient's own, or every recipient's. SES says too little to tell by one
//! answer alone ("if a recipient email address is invalid ... the entire message is rejected": its documentation of bulk
//! sending), so others are tried first: as long as SES has accepted no recipient, the refused ones are set aside and no entry is
//! consumed; once it accepts one, it was the refused ones' own fault. The one exception is an address that is not verified: SES
//! says that in its sandbox only, where it accepts some and not others, and it consumes no entry whichever others were accepted.

use crate::Position;
use crate::cursor::MAX_CALL;

/// How many recipients are tried where a whole call came to nothing and one by one is not needed.
const PROBE: usize = 5;
/// So many set aside, and none accepted, is no recipient's own fault.
const MANY: usize = 8;
/// So many are set aside at most: they stand in the cursor, an item of the table.
const MOST: usize = 2 * MAX_CALL;

/// What was learnt of refusals in a worker's time with a shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Refusals {
    size: usize,
    taken: bool,
    /// Calls of which no recipient was accepted.
    in_vain: u32,
    set_aside: Vec<(Position, String)>,
}

/// What becomes of those set aside where no other recipient is left to try first.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AtTheEnd {
    /// There are none.
    Nobody,
    /// It is their own fault: they are written down as failed.
    TheirOwnFault,
    /// It looks like every recipient's: no entry is consumed.
    Stop(String),
}

impl Default for Refusals {
    fn default() -> Self {
        Self { size: MAX_CALL, taken: false, in_vain: 0, set_aside: Vec::new() }
    }
}

impl Refusals {
    /// The most recipients of the next call.
    pub(super) fn size(&self) -> usize {
        if self.set_aside.is_empty() || self.taken { self.size } else { self.size.min(PROBE) }
    }

    /// A call to `count` was refused as a whole.
    pub(super) fn halve(&mut self, count: usize) {
        self.size = (count / 2).max(1);
    }

    /// SES answered for each recipient, and accepted so many.
    pub(super) fn answered(&mut self, accepted: usize) {
        if accepted > 0 {
            self.taken = true;
            self.size = self.size.saturating_mul(2).min(MAX_CALL);
        } else {
            self.in_vain += 1;
        }
    }

    /// SES refused one by itself.
    pub(super) fn set_one_aside(&mut self, position: Position, reason: String) {
        self.set_aside.push((position, reason));
        // The next ones are as likely to be good as any.
        self.size = self.size.max(PROBE);
    }

    /// Whether SES has accepted any recipient.
    pub(super) fn others_were_taken(&self) -> bool {
        self.taken
    }

    /// Those set aside, with SES's words.
    pub(super) fn set_aside(&self) -> &[(Position, String)] {
        &self.set_aside
    }

    /// Whether a refusal for this reason is known to be the recipient's own fault.
    pub(super) fn is_their_own_fault(&self, reason: &str) -> bool {
        self.taken && !is_everybodys(reason)
    }

    /// Takes those out whose own fault it was, another recipient having been accepted.
    pub(super) fn take(&mut self) -> Vec<(Position, String)> {
        self.set_aside.extract_if(.., |(_, reason)| !is_everybodys(reason)).collect()
    }

    /// SES's words, where so many were refused that it is every recipient's: others after the first ones too and before any was
    /// accepted, or more than the cursor should hold.
    pub(super) fn too_many(&self) -> Option<String> {
        let many = self.set_aside.len() >= MANY && self.in_vain >= 2 && !self.taken;
        let first = self.set_aside.first().filter(|_| many || self.set_aside.len() >= MOST);
        first.map(|(_, reason)| reason.clone())
    }

    /// What becomes of them, no other recipient being left to try.
    pub(super) fn at_the_end(&self) -> AtTheEnd {
        let Some((_, first)) = self.set_aside.first() else { return AtTheEnd::Nobody };
        if !self.taken && self.set_aside.len() >= PROBE {
            return AtTheEnd::Stop(first.clone());
        }
        match self.set_aside.iter().find(|(_, reason)| !is_everybodys(reason)) {
            Some(_) => AtTheEnd::TheirOwnFault,
            None => AtTheEnd::Stop(first.clone()),
        }
    }
}

/// What SES says in its sandbox, of any recipient.
fn is_everybodys(reason: &str) -> bool {
    reason.contains("not verified")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Position {
        Position::new(n, 0)
    }

    /// Works off `people`, of whom SES refuses the `bad`: whole calls where `whole`, else one by one. Gives how many were
    /// taken, how many rejected, whether it was stopped, and after how many calls.
    fn worked_off(people: u64, bad: &[u64], whole: bool) -> (usize, usize, bool, usize) {
        let (mut refusals, mut left) = (Refusals::default(), (0..people).collect::<Vec<_>>());
        let (mut taken, mut rejected, mut calls) = (0, 0, 0);
        loop {
            if left.is_empty() {
                match refusals.at_the_end() {
                    AtTheEnd::Nobody => return (taken, rejected, false, calls),
                    AtTheEnd::Stop(_) => return (taken, rejected, true, calls),
                    AtTheEnd::TheirOwnFault => rejected += refusals.take().len(),
                }
                continue;
            }
            calls += 1;
            let call: Vec<u64> = left.iter().copied().take(refusals.size()).collect();
            let spoiled = call.iter().any(|one| bad.contains(one));
            if whole && spoiled && call.len() > 1 {
                refusals.halve(call.len());
                continue;
            }
            left.drain(..call.len());
            let accepted =
                if whole && spoiled { 0 } else { call.iter().filter(|one| !bad.contains(one)).count() };
            refusals.answered(accepted);
            for one in call.iter().filter(|one| bad.contains(one)) {
                refusals.set_one_aside(at(*one), "MESSAGE_REJECTED".to_owned());
            }
            taken += accepted;
            if refusals.others_were_taken() {
                rejected += refusals.take().len();
            }
            if refusals.too_many().is_some() {
                return (taken, rejected, true, calls);
            }
        }
    }

    #[test]
    fn those_whom_ses_refuses_are_found_and_all_others_are_told() {
        for whole in [true, false] {
            for bad in [&[0, 1, 2, 3][..], &[0], &[159], &[10, 50, 99, 158], &[49, 50, 51, 52], &[]] {
                let (taken, rejected, stopped, calls) = worked_off(160, bad, whole);
                assert_eq!(
                    (taken, rejected, stopped),
                    (160 - bad.len(), bad.len(), false),
                    "{bad:?} {whole}"
                );
                assert!(calls <= 60, "{calls} calls for {bad:?}");
            }
        }
    }

    #[test]
    fn a_refusal_of_everybody_consumes_nobody_and_takes_a_handful_of_calls() {
        let everybody: Vec<u64> = (0..200).collect();
        for whole in [true, false] {
            let (taken, rejected, stopped, calls) = worked_off(200, &everybody, whole);
            assert_eq!((taken, rejected, stopped), (0, 0, true), "{whole}");
            assert!(calls <= 40, "{calls}");
        }
    }

    #[test]
    fn one_alone_is_their_own_fault_unless_ses_says_otherwise() {
        for (reason, end) in [
            ("MESSAGE_REJECTED", AtTheEnd::TheirOwnFault),
            ("Email address is not verified.", AtTheEnd::Stop("Email address is not verified.".to_owned())),
        ] {
            let mut refusals = Refusals::default();
            refusals.set_one_aside(at(1), reason.to_owned());
            assert_eq!(refusals.at_the_end(), end);
        }
    }

    #[test]
    fn whom_the_sandbox_refuses_is_not_consumed_though_others_are_taken() {
        let mut refusals = Refusals::default();
        refusals.set_one_aside(at(1), "MESSAGE_REJECTED: Email address is not verified".to_owned());
        refusals.set_one_aside(at(2), "INVALID_PARAMETER".to_owned());
        refusals.answered(1);
        assert!(!refusals.is_their_own_fault("MESSAGE_REJECTED: Email address is not verified"));
        assert_eq!(refusals.take(), [(at(2), "INVALID_PARAMETER".to_owned())]);
        assert!(matches!(refusals.at_the_end(), AtTheEnd::Stop(reason) if reason.contains("not verified")));
        assert_eq!(refusals.too_many(), None, "others are told meanwhile");
        for n in 3..200 {
            refusals.set_one_aside(at(n), "MESSAGE_REJECTED: Email address is not verified".to_owned());
        }
        assert!(refusals.too_many().is_some(), "the cursor holds only so many");
    }
}
