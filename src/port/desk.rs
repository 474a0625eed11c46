//! The account's side: what is asked, done with the open account.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::put::Seen;
use super::{
    Answer, Answers, Ask, CollectionHead, Kind, ObjectHead, PortError, PropertyText, unexpected,
};
use crate::dav::Dav;
use crate::dav::put::CALENDAR_TYPE;
use crate::ical::ComponentKind;
use crate::ids::Segment;
use crate::limits;
use crate::vault::{
    AccountStore, Collection, CollectionKind, Node, Past, Properties, Summary, VaultError,
};
use crate::xml::{XmlLimits, parse};

/// See the module.
pub struct Desk {
    pub(super) dav: Arc<Dav>,
    pub(super) account: AccountStore,
    pub(super) reading: Option<Reading>,
    pub(super) past: Option<Past>,
    /// Collections that a trial would have made.
    pub(super) planned: HashMap<Vec<Segment>, CollectionKind>,
    /// Objects that a trial would have stored.
    pub(super) seen: Seen,
}

/// The collection that is being read. Its names are a snapshot, its objects are as they are.
pub(super) struct Reading {
    collection: Arc<Collection>,
    objects: VecDeque<Arc<Summary>>,
}

impl Answers for Desk {
    fn ask(&mut self, ask: &Ask, bodies: &[u8]) -> Result<(Answer, Vec<u8>), PortError> {
        let answer = match ask {
            Ask::Collections => self.collections(),
            Ask::Begin { path } => self.begin(path),
            Ask::Next => return self.next(),
            Ask::Trashed => self.trashed(),
            Ask::BeginPast { path } => self.begin_past(path),
            Ask::BeginTrashed { id } => self.begin_trashed(id),
            Ask::NextPast => return self.next_past(),
            Ask::Make {
                path,
                kind,
                properties,
                existing,
                trial,
            } => self.make(path, kind, properties, *existing, *trial),
            Ask::Put {
                path,
                objects,
                existing,
                trial,
            } => self.put(path, objects, bodies, *existing, *trial),
        };
        Ok((answer?, Vec::new()))
    }
}

impl Desk {
    /// A desk for an account, where requests are answered by `dav`.
    pub fn new(dav: Arc<Dav>, account: AccountStore) -> Desk {
        Desk {
            dav,
            account,
            reading: None,
            past: None,
            planned: HashMap::new(),
            seen: Seen::default(),
        }
    }

    fn collections(&mut self) -> Result<Answer, PortError> {
        self.account.barrier().wait().map_err(|_| store_failed())?;
        let mut waiting: VecDeque<_> = self.account.collections(self.account.home().id).into();
        let mut collections = Vec::new();
        while let Some(collection) = waiting.pop_front() {
            waiting.extend(self.account.collections(collection.id));
            collections.push(CollectionHead {
                path: self.account.path_of(collection.id),
                kind: kind(collection.kind),
                objects: collection.objects,
            });
        }
        Ok(Answer::Collections { collections })
    }

    fn begin(&mut self, path: &[Segment]) -> Result<Answer, PortError> {
        let Node::Collection(collection) = self.account.resolve(path).map_err(failed)? else {
            return Err(PortError::Refused("a collection is gone".to_owned()));
        };
        let members = self.account.members(collection.id).map_err(failed)?;
        let damaged = self.account.damaged(collection.id).map_err(failed)?;
        let properties = texts(&collection.properties);
        let objects = members.objects.into();
        self.reading = Some(Reading {
            collection,
            objects,
        });
        Ok(Answer::Begun {
            damaged,
            properties,
        })
    }

    fn next(&mut self) -> Result<(Answer, Vec<u8>), PortError> {
        let Some(mut reading) = self.reading.take() else {
            return Err(unexpected());
        };
        let (mut objects, mut bodies) = (Vec::new(), Vec::new());
        let mut said = 0;
        while objects.len() < limits::PORT_STEP_OBJECTS
            && bodies.len() + said < limits::PORT_STEP_BYTES
        {
            let Some(object) = reading.objects.pop_front() else {
                break;
            };
            let Some((head, body)) = self.read(&reading.collection, &object)? else {
                continue;
            };
            said += head.properties.iter().map(String::len).sum::<usize>();
            objects.push(head);
            bodies.extend(body);
        }
        // what was read may be newer than the last sync
        self.account.barrier().wait().map_err(|_| store_failed())?;
        self.reading = Some(reading);
        Ok((Answer::Objects { objects }, bodies))
    }

    /// An object as it is now; none when it is gone.
    fn read(
        &self,
        collection: &Collection,
        object: &Summary,
    ) -> Result<Option<(ObjectHead, Vec<u8>)>, PortError> {
        let mut object = Arc::new(object.clone());
        // one that is overwritten again and again is read in the end
        for _ in 0..8 {
            let body = self.account.body(collection.id, &object);
            let properties = self.account.properties(collection.id, &object);
            match (body, properties) {
                (Err(VaultError::Missing), _) | (_, Err(VaultError::Missing)) => {
                    let now = self.account.object(collection.id, &object.segment);
                    match now.map_err(failed)? {
                        Some(now) => object = now,
                        None => return Ok(None),
                    }
                }
                (Ok(body), Ok(properties)) => {
                    let mut head = head(collection, &object);
                    head.properties = properties.values().cloned().collect();
                    head.bytes = body.len();
                    return Ok(Some((head, body)));
                }
                (Err(VaultError::Damaged(_)), _) | (_, Err(VaultError::Damaged(_))) => {
                    let mut head = head(collection, &object);
                    head.damaged = Some("it is damaged and does not open".to_owned());
                    return Ok(Some((head, Vec::new())));
                }
                (Err(error), _) | (_, Err(error)) => return Err(failed(error)),
            }
        }
        Err(PortError::Refused(
            "an object changes all the time".to_owned(),
        ))
    }
}

fn head(collection: &Collection, object: &Summary) -> ObjectHead {
    head_of(collection, &object.segment, object.content_type.as_str())
}

pub(super) fn head_of(collection: &Collection, name: &Segment, content_type: &str) -> ObjectHead {
    let usual = collection.is_calendar() && content_type == CALENDAR_TYPE;
    ObjectHead {
        name: Some(name.as_str().to_owned()),
        content_type: (!usual).then(|| content_type.to_owned()),
        ..ObjectHead::default()
    }
}

pub(super) fn kind(kind: CollectionKind) -> Kind {
    match kind {
        CollectionKind::Calendar(set) => {
            let names = set.iter().map(ComponentKind::as_str).map(str::to_owned);
            Kind::Calendar(names.collect())
        }
        CollectionKind::Home | CollectionKind::Plain => Kind::Collection,
    }
}

pub(super) fn texts(properties: &Properties) -> Vec<PropertyText> {
    let limits = XmlLimits::default();
    let text = |xml: &String| parse(xml.as_bytes(), &limits).map(|element| element.text());
    let property = |(name, xml): (&crate::xml::Name, &String)| PropertyText {
        namespace: name.ns.clone(),
        name: name.local.clone(),
        text: text(xml).unwrap_or_default(),
        xml: xml.clone(),
    };
    properties.iter().map(property).collect()
}

pub(super) fn failed(error: VaultError) -> PortError {
    PortError::Refused(match error {
        VaultError::Locked => "the account was locked meanwhile; run this again".to_owned(),
        VaultError::Missing => "a collection is gone".to_owned(),
        // the row that it names is for the log
        VaultError::Damaged(_) => "a collection is damaged".to_owned(),
        error => crate::dav::DavError::from(error).sentence(),
    })
}

pub(super) fn store_failed() -> PortError {
    PortError::Refused("the store failed: what was done last may be lost".to_owned())
}
