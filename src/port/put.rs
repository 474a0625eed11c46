//! Putting objects into the account, each as the request that a client would send.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::desk::{Desk, failed, store_failed};
use super::names;
use super::{Answer, Existing, Kind, ObjectHead, Outcome, PortError, Trial};
use crate::dav::put::{UNKNOWN_TYPE, judge};
use crate::dav::target::{HrefForm, href};
use crate::dav::{DavError, Request};
use crate::ical::{ComponentKind, ComponentSet};
use crate::ids::Segment;
use crate::limits;
use crate::vault::{Collection, CollectionKind, Node, Summary};
use crate::xml::{Element, Writer, XmlLimits, caldav, dav, parse};

/// UIDs of a trial with a fingerprint of the body: it stores nothing that could be looked up.
#[derive(Default)]
pub(super) struct Seen(HashMap<(Vec<Segment>, String), u64>);

impl Seen {
    /// Notes a body; gives whether another, or the same one, was there before.
    fn note(&mut self, path: &[Segment], id: String, body: &[u8]) -> Option<bool> {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let hash = hasher.finish();
        if self.0.len() >= limits::PORT_FILES {
            return None;
        }
        let before = self.0.insert((path.to_vec(), id), hash);
        before.map(|before| before == hash)
    }
}

/// An object that was found good for its collection; `there` is none in a trial that would make it.
struct One<'a> {
    path: &'a [Segment],
    there: Option<&'a Collection>,
    head: &'a ObjectHead,
    body: &'a [u8],
    uid: Option<String>,
}

impl One<'_> {
    fn refused(&self, sentence: &str) -> Outcome {
        Outcome::Refused {
            uid: self.uid.clone(),
            line: None,
            sentence: sentence.to_owned(),
        }
    }

    fn different(&self) -> &'static str {
        match self.uid {
            Some(_) => OTHER,
            None => OTHER_FILE,
        }
    }

    fn target(&self, segment: &Segment) -> Vec<Segment> {
        [self.path, std::slice::from_ref(segment)].concat()
    }
}

const OTHER: &str = "another object with this UID is there, and it is different; \
                     --replace puts this one in its place, --skip keeps it";
const OTHER_FILE: &str = "another file of this name is there, and it is different; \
                          --replace puts this one in its place, --skip keeps it";

impl Desk {
    pub(super) fn make(
        &mut self,
        path: &[Segment],
        wanted: &Kind,
        properties: &[String],
        existing: Existing,
        trial: Trial,
    ) -> Result<Answer, PortError> {
        let shown = shown(path);
        let (mut refused, mut good) = (Vec::new(), Vec::new());
        for xml in properties {
            match parse(xml.as_bytes(), &XmlLimits::default()) {
                Ok(element) => good.push(element),
                Err(_) => refused.push("a property is no XML".to_owned()),
            }
        }
        let node = self.account.resolve(path).map_err(failed)?;
        let new = match (&node, wanted) {
            (Node::Collection(there), _) if same_kind(there, wanted) => {
                let keeps = there.objects > 0 && existing != Existing::Replace;
                let differs = |element: &Element| {
                    there.properties.get(&element.name) != Some(&element.to_xml())
                };
                good.retain(|element| !keeps && differs(element));
                false
            }
            (Node::Missing(..), _) => true,
            (Node::Nowhere, _) if self.planned.contains_key(&path[..path.len() - 1]) => true,
            _ => {
                return Err(PortError::Refused(format!(
                    "{shown}: something else has that name"
                )));
            }
        };
        if trial == Trial::Dry {
            if new {
                let kind = planned(wanted);
                self.planned.insert(path.to_vec(), kind);
            }
            return Ok(Answer::Made { new, refused });
        }
        if new {
            self.make_bare(path, wanted)
                .map_err(|why| PortError::Refused(format!("{shown}: {why}")))?;
        }
        for element in good {
            if let Err(why) = self.set(path, HrefForm::Collection, &element) {
                refused.push(format!("{shown}: property {}: {why}", element.name.local));
            }
        }
        self.account.barrier().wait().map_err(|_| store_failed())?;
        Ok(Answer::Made { new, refused })
    }

    fn make_bare(&self, path: &[Segment], kind: &Kind) -> Result<(), String> {
        let (method, body) = match kind {
            Kind::Collection => ("MKCOL", Vec::new()),
            Kind::Calendar(components) => {
                let mut writer = Writer::document();
                writer.start(caldav("mkcalendar"));
                writer.start(dav("set"));
                writer.start(dav("prop"));
                if !components.is_empty() {
                    writer.start(caldav("supported-calendar-component-set"));
                    for name in components {
                        writer.empty_with(caldav("comp"), &[("name", name)]);
                    }
                    writer.end();
                }
                for _ in 0..3 {
                    writer.end();
                }
                ("MKCALENDAR", writer.finish())
            }
        };
        self.send(method, path, HrefForm::Collection, &[], body)
    }

    /// Sets one property.
    fn set(&self, path: &[Segment], form: HrefForm, element: &Element) -> Result<(), String> {
        let mut writer = Writer::document();
        writer.start(dav("propertyupdate"));
        writer.start(dav("set"));
        writer.start(dav("prop"));
        writer.raw(&element.to_xml());
        for _ in 0..3 {
            writer.end();
        }
        self.send("PROPPATCH", path, form, &[], writer.finish())
    }

    /// Sends a request as a client would; its receipt is waited for at the end of the step.
    fn send(
        &self,
        method: &str,
        path: &[Segment],
        form: HrefForm,
        headers: &[(HeaderName, &str)],
        body: Vec<u8>,
    ) -> Result<(), String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|_| "a media type is none")?;
            map.insert(name, value);
        }
        let request = Request {
            method: Method::from_bytes(method.as_bytes()).expect("a method of ours"),
            target: href(self.account.name(), path, form),
            headers: map,
            body: Bytes::from(body),
            authorities: Vec::new(),
            https: true,
        };
        let response = self.dav.handle(&self.account, request);
        match (response.status.is_success(), response.refusal) {
            (true, None) => Ok(()),
            (_, Some(why)) => Err(why.to_owned()),
            (false, None) => Err(response.status.to_string()),
        }
    }

    pub(super) fn put(
        &mut self,
        path: &[Segment],
        objects: &[ObjectHead],
        bodies: &[u8],
        existing: Existing,
        trial: Trial,
    ) -> Result<Answer, PortError> {
        let mut rest = bodies;
        let mut outcomes = Vec::new();
        for head in objects {
            let Some((body, after)) = rest.split_at_checked(head.bytes) else {
                return Err(PortError::Refused(
                    "an object is missing in a message".to_owned(),
                ));
            };
            rest = after;
            let outcome = match self.account.resolve(path).map_err(failed)? {
                Node::Collection(there) => {
                    self.put_one(path, Some(&there), head, body, existing, trial)
                }
                _ => self.put_one(path, None, head, body, existing, trial),
            };
            outcomes.push(outcome?);
        }
        self.account.barrier().wait().map_err(|_| store_failed())?;
        Ok(Answer::Outcomes { outcomes })
    }

    fn put_one(
        &mut self,
        path: &[Segment],
        there: Option<&Collection>,
        head: &ObjectHead,
        body: &[u8],
        existing: Existing,
        trial: Trial,
    ) -> Result<Outcome, PortError> {
        let planned = self.planned.get(path).copied();
        let Some(kind) = there.map(|there| there.kind).or(planned) else {
            return Err(gone(path));
        };
        let uid = match kind {
            CollectionKind::Calendar(_) => match judge(&self.dav.settings, body, kind) {
                Ok(facts) => Some(facts.uid.into()),
                Err(error) => return Ok(unfit(head, body, &error)),
            },
            CollectionKind::Home | CollectionKind::Plain => None,
        };
        let one = One {
            path,
            there,
            head,
            body,
            uid,
        };
        let old = match there {
            Some(there) => self.old(there, one.uid.as_deref(), head)?,
            None => None,
        };
        match (&old, existing, trial) {
            (Some(old), ..) if self.is_same(there, old, body)? => {
                if trial == Trial::Real {
                    self.set_all(&one, &old.segment);
                }
                Ok(Outcome::Same)
            }
            (Some(_), Existing::Refuse, _) => Ok(one.refused(one.different())),
            (Some(_), Existing::Skip, _) => Ok(Outcome::Skipped),
            (_, _, Trial::Real) => self.store(&one, old.as_deref()),
            (_, _, Trial::Dry) => Ok(self.would_store(&one, old.as_deref(), existing)),
        }
    }

    fn would_store(
        &mut self,
        one: &One<'_>,
        over: Option<&Summary>,
        existing: Existing,
    ) -> Outcome {
        let id = one.uid.clone().or(one.head.name.clone());
        let before = self.seen.note(one.path, id.unwrap_or_default(), one.body);
        match (before, existing) {
            (None, _) if over.is_some() => Outcome::Replaced,
            (None, _) => Outcome::Stored,
            (Some(true), _) => Outcome::Same,
            (Some(false), Existing::Replace) => Outcome::Replaced,
            (Some(false), Existing::Skip) => Outcome::Skipped,
            (Some(false), Existing::Refuse) => one.refused(one.different()),
        }
    }

    fn store(&self, one: &One<'_>, over: Option<&Summary>) -> Result<Outcome, PortError> {
        let there = one.there.ok_or_else(|| gone(one.path))?;
        let segment = match over {
            Some(old) => old.segment.clone(),
            None => self.free_name(there, one.head, one.uid.as_deref())?,
        };
        let etag = over.map(|old| old.etag.to_string());
        // whoever else writes meanwhile is not overwritten
        let condition = match &etag {
            Some(etag) => (IF_MATCH, etag.as_str()),
            None => (IF_NONE_MATCH, "*"),
        };
        let media_type = match &one.uid {
            Some(_) => "text/calendar",
            None => one.head.content_type.as_deref().unwrap_or(UNKNOWN_TYPE),
        };
        let headers = [condition, (CONTENT_TYPE, media_type)];
        let target = one.target(&segment);
        if let Err(why) = self.send(
            "PUT",
            &target,
            HrefForm::Object,
            &headers,
            one.body.to_vec(),
        ) {
            return Ok(one.refused(&why));
        }
        self.set_all(one, &segment);
        Ok(match over {
            Some(_) => Outcome::Replaced,
            None => Outcome::Stored,
        })
    }

    /// What is there already: of a calendar by its UID, else by its name.
    fn old(
        &self,
        there: &Collection,
        uid: Option<&str>,
        head: &ObjectHead,
    ) -> Result<Option<Arc<Summary>>, PortError> {
        let name = head.name.as_deref().unwrap_or_default();
        match uid {
            Some(uid) => self.account.object_by_uid(there.id, uid),
            None => self.account.object(there.id, &names::segment(name)),
        }
        .map_err(failed)
    }

    fn is_same(
        &self,
        there: Option<&Collection>,
        old: &Summary,
        body: &[u8],
    ) -> Result<bool, PortError> {
        let Some(there) = there.filter(|_| old.size == body.len() as u64) else {
            return Ok(false);
        };
        Ok(self.account.body(there.id, old).map_err(failed)? == body)
    }

    /// The stored properties of an object, set where they are different.
    fn set_all(&self, one: &One<'_>, segment: &Segment) {
        let (Some(there), false) = (one.there, one.head.properties.is_empty()) else {
            return;
        };
        let object = self.account.object(there.id, segment).ok().flatten();
        let known = object.and_then(|object| self.account.properties(there.id, &object).ok());
        for xml in &one.head.properties {
            let Ok(element) = parse(xml.as_bytes(), &XmlLimits::default()) else {
                continue;
            };
            let is = known.as_ref().and_then(|known| known.get(&element.name));
            if is == Some(&element.to_xml()) {
                continue;
            }
            // an object without one of its dead properties is better than none
            if let Err(why) = self.set(&one.target(segment), HrefForm::Object, &element) {
                tracing::warn!(why, "a property of an imported object could not be set");
            }
        }
    }

    /// The wished name, unless another object has it.
    fn free_name(
        &self,
        there: &Collection,
        head: &ObjectHead,
        uid: Option<&str>,
    ) -> Result<Segment, PortError> {
        let wish = match (&head.name, uid) {
            (Some(name), _) => names::segment(name),
            (None, uid) => names::of_uid(uid.unwrap_or_default()),
        };
        for number in 1..1_000 {
            let name = names::numbered(&wish, number);
            let mut path = self.account.path_of(there.id);
            path.push(name.clone());
            if let Node::Missing(..) = self.account.resolve(&path).map_err(failed)? {
                return Ok(name);
            }
        }
        Ok(names::of_uid(&self.account.device().to_string()))
    }
}

/// A body that was refused, with what can be told of it.
fn unfit(head: &ObjectHead, body: &[u8], error: &DavError) -> Outcome {
    let line = match error {
        DavError::NamedWithRefusal(_, refusal) => Some(refusal.line()),
        _ => None,
    };
    let uid = crate::ical::split::split(body)
        .objects
        .first()
        .and_then(|object| object.uid.clone());
    let sentence = error.sentence();
    let sentence = match sentence.strip_prefix("line ") {
        Some(rest) => rest
            .split_once(": ")
            .map_or(rest, |(_, rule)| rule)
            .to_owned(),
        None => sentence,
    };
    Outcome::Refused {
        uid: uid.or(head.name.clone()),
        line,
        sentence,
    }
}

fn planned(kind: &Kind) -> CollectionKind {
    let Kind::Calendar(names) = kind else {
        return CollectionKind::Plain;
    };
    let named: ComponentSet = names
        .iter()
        .filter_map(|name| ComponentKind::parse(name))
        .collect();
    let usual = [
        ComponentKind::Event,
        ComponentKind::Todo,
        ComponentKind::Journal,
    ];
    CollectionKind::Calendar(match named.is_empty() {
        true => usual.into_iter().collect(),
        false => named,
    })
}

fn same_kind(there: &Collection, wanted: &Kind) -> bool {
    match wanted {
        Kind::Calendar(_) => there.is_calendar(),
        Kind::Collection => there.kind == CollectionKind::Plain,
    }
}

fn gone(path: &[Segment]) -> PortError {
    PortError::Refused(format!("{}: it is gone", shown(path)))
}

fn shown(path: &[Segment]) -> String {
    let parts: Vec<_> = path.iter().map(Segment::as_str).collect();
    parts.join("/")
}
