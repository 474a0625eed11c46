//! Reads what was found and puts it into the account, step by step. One bad object never stops
//! the others; a repeated import finds what is there and goes on.

use std::collections::BTreeSet;

use serde::Serialize;

use super::source::{Content, Found, Source};
use super::{
    Answer, Answers, Ask, Existing, Kind, ObjectHead, Outcome, PortError, Trial, names, unexpected,
};
use crate::ical::ComponentKind;
use crate::ical::split::{SplitObject, split};
use crate::ids::Segment;
use crate::limits;

/// Something that is not imported, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The file, or the collection.
    pub file: String,
    /// The object, if it is known.
    pub uid: Option<String>,
    /// The line of the file, from 1.
    pub line: Option<usize>,
    /// The rule that is broken.
    pub sentence: String,
}

/// What an import did, or would do.
#[derive(Debug, Default, Serialize)]
pub struct Imported {
    /// Collections that were made.
    pub made: BTreeSet<String>,
    /// Objects that are new.
    pub stored: usize,
    /// Objects that took another's place.
    pub replaced: usize,
    /// Objects that were there, byte for byte.
    pub same: usize,
    /// Objects that were left out, because another one is there.
    pub skipped: usize,
    /// How much was refused.
    pub refusals: usize,
    /// The first `limits::PORT_REFUSALS` of it.
    pub refused: Vec<Refused>,
}

impl Imported {
    fn refuse(&mut self, refused: Refused) {
        self.refusals += 1;
        if self.refused.len() < limits::PORT_REFUSALS {
            self.refused.push(refused);
        }
    }
}

/// Imports everything; `progress` hears how many files are done.
///
/// # Errors
/// The account cannot be asked any more.
pub fn import(
    source: &mut Source,
    answers: &mut dyn Answers,
    existing: Existing,
    trial: Trial,
    progress: &mut dyn FnMut(usize, &Imported),
) -> Result<Imported, PortError> {
    let mut done = Imported::default();
    for refused in std::mem::take(&mut source.refused) {
        done.refuse(refused);
    }
    let mut files = 0;
    for mut found in std::mem::take(&mut source.collections) {
        let shown: Vec<_> = found.path.iter().map(Segment::as_str).collect();
        let shown = shown.join("/");
        bound(&mut found, &shown, &mut done);
        let ask = Ask::Make {
            path: found.path.clone(),
            kind: found.kind,
            properties: found.properties,
            existing,
            trial,
        };
        match answers.ask(&ask, &[]) {
            Ok((Answer::Made { new, refused }, _)) => {
                if new {
                    done.made.insert(shown.clone());
                }
                for sentence in refused {
                    done.refuse(about(&shown, None, sentence));
                }
            }
            Ok(_) => return Err(unexpected()),
            Err(PortError::Refused(sentence)) => {
                done.refuse(about(&shown, None, sentence));
                for item in &found.items {
                    let why = "its calendar could not be made".to_owned();
                    done.refuse(about(&item.label, None, why));
                }
                continue;
            }
            Err(lost) => return Err(lost),
        }
        let mut step = Step::new(found.path, existing, trial);
        for item in &found.items {
            match source.read(item) {
                Err(why) => done.refuse(about(&item.label, None, why)),
                Ok(bytes) if item.content == Content::One => {
                    let head = item.head.clone();
                    step.take(&item.label, head, bytes, None, answers, &mut done)?;
                }
                Ok(bytes) => step.take_apart(item, &bytes, answers, &mut done)?,
            }
            files += 1;
            progress(files, &done);
        }
        step.flush(answers, &mut done)?;
        progress(files, &done);
    }
    Ok(done)
}

/// What is said of a collection, within what a message may have and the server knows.
fn bound(found: &mut Found, shown: &str, done: &mut Imported) {
    if let Kind::Calendar(components) = &mut found.kind {
        components.retain(|name| ComponentKind::parse(name).is_some());
    }
    if length(&found.properties) > limits::PROPERTIES_BYTES {
        found.properties.clear();
        done.refuse(about(
            shown,
            None,
            "its properties are too large".to_owned(),
        ));
    }
}

fn length(properties: &[String]) -> usize {
    properties.iter().map(String::len).sum()
}

fn about(file: &str, line: Option<usize>, sentence: String) -> Refused {
    Refused {
        file: file.to_owned(),
        uid: None,
        line,
        sentence,
    }
}

/// Objects that wait to be put together.
struct Step {
    path: Vec<Segment>,
    existing: Existing,
    trial: Trial,
    heads: Vec<ObjectHead>,
    bodies: Vec<u8>,
    /// For each the file, and where in it.
    from: Vec<(String, Option<SplitObject>)>,
}

impl Step {
    fn new(path: Vec<Segment>, existing: Existing, trial: Trial) -> Step {
        Step {
            path,
            existing,
            trial,
            heads: Vec::new(),
            bodies: Vec::new(),
            from: Vec::new(),
        }
    }

    /// A file of calendar objects.
    fn take_apart(
        &mut self,
        item: &super::source::Item,
        bytes: &[u8],
        answers: &mut dyn Answers,
        done: &mut Imported,
    ) -> Result<(), PortError> {
        let mut found = split(bytes);
        if let Some((line, rule)) = found.broken {
            done.refuse(about(&item.label, Some(line), rule.to_owned()));
        }
        let alone = found.objects.len() == 1;
        for object in found.objects.drain(..) {
            let head = ObjectHead {
                name: item.head.name.clone().filter(|_| alone),
                ..item.head.clone()
            };
            let body = object.bytes(bytes);
            self.take(&item.label, head, body, Some(object), answers, done)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        label: &str,
        mut head: ObjectHead,
        body: Vec<u8>,
        part: Option<SplitObject>,
        answers: &mut dyn Answers,
        done: &mut Imported,
    ) -> Result<(), PortError> {
        // beyond what any server takes: not carried over at all
        if body.len() > limits::OBJECT_BYTES_MOST {
            let uid = part.and_then(|part| part.uid);
            let refused = about(label, None, "max-resource-size".to_owned());
            done.refuse(Refused { uid, ..refused });
            return Ok(());
        }
        if length(&head.properties) > limits::PROPERTIES_BYTES {
            head.properties.clear();
            done.refuse(about(
                label,
                None,
                "its properties are too large".to_owned(),
            ));
        }
        let too_long = |text: &String| text.len() > limits::CONTENT_TYPE_BYTES;
        head.content_type = head.content_type.filter(|text| !too_long(text));
        head.name = head.name.map(|name| names::segment(&name).into());
        head.bytes = body.len();
        self.heads.push(head);
        self.bodies.extend(body);
        self.from.push((label.to_owned(), part));
        let said: usize = self.heads.iter().map(|head| length(&head.properties)).sum();
        if self.heads.len() >= limits::PORT_STEP_OBJECTS
            || self.bodies.len() + said >= limits::PORT_STEP_BYTES
        {
            self.flush(answers, done)?;
        }
        Ok(())
    }

    fn flush(&mut self, answers: &mut dyn Answers, done: &mut Imported) -> Result<(), PortError> {
        if self.heads.is_empty() {
            return Ok(());
        }
        let ask = Ask::Put {
            path: self.path.clone(),
            objects: std::mem::take(&mut self.heads),
            existing: self.existing,
            trial: self.trial,
        };
        let bodies = std::mem::take(&mut self.bodies);
        let (Answer::Outcomes { outcomes }, _) = answers.ask(&ask, &bodies)? else {
            return Err(unexpected());
        };
        for (outcome, (file, part)) in outcomes.into_iter().zip(self.from.drain(..)) {
            match outcome {
                Outcome::Stored => done.stored += 1,
                Outcome::Replaced => done.replaced += 1,
                Outcome::Same => done.same += 1,
                Outcome::Skipped => done.skipped += 1,
                Outcome::Refused {
                    uid,
                    line,
                    sentence,
                } => done.refuse(Refused {
                    line: line.map(|line| match &part {
                        Some(part) => part.line_in_file(line),
                        None => line,
                    }),
                    file,
                    uid,
                    sentence,
                }),
            }
        }
        Ok(())
    }
}
