//! DAV:expand-property (RFC 3253 section 3.8): properties, with the resources that their hrefs
//! name described in place.

use super::super::context::{Context, Resource, resolve, resource_href};
use super::super::error::DavError;
use super::super::message::Response;
use super::super::multistatus::{respond_now, write_status, write_status_response};
use super::super::property::{Found, Scene, Subject, Wanted};
use crate::limits;
use crate::vault::VaultError;
use crate::xml::{self, Element, Name, Writer, XmlLimits, dav, is_ncname, ns};
use http::StatusCode;

/// A property to tell, and what to tell of the resources that it names.
struct Asked {
    wanted: Wanted,
    inner: Vec<Asked>,
}

/// Answers for the request's resource.
///
/// # Errors
/// 400; 413 beyond `limits::PROPERTIES_PER_REQUEST`, `limits::EXPAND_PROPERTY_DEPTH` or
/// `limits::EXPAND_PROPERTY_BYTES`.
pub fn run(context: &Context<'_>, body: &Element) -> Result<Response, DavError> {
    let mut count = 0;
    let asked = asked(body, limits::EXPAND_PROPERTY_DEPTH, &mut count)?;
    let mut expansion = Expansion {
        context,
        scene: Scene::new(context),
        responses: limits::SEARCH_RESULTS,
    };
    let mut failure = Ok(());
    let response = respond_now(|writer| {
        failure = expansion.write(&context.own_href(), &context.resource, &asked, writer);
    });
    failure.map(|()| response)
}

fn asked(parent: &Element, depth: usize, count: &mut usize) -> Result<Vec<Asked>, DavError> {
    let mut all: Vec<Asked> = Vec::new();
    for property in parent.children_named(dav("property")) {
        *count += 1;
        if depth == 0 || *count > limits::PROPERTIES_PER_REQUEST {
            return Err(DavError::TooLarge("too many properties to expand"));
        }
        let local = property
            .attribute("name")
            .ok_or(DavError::BadRequest("a property without a name"))?;
        let ns = property
            .attribute("namespace")
            .unwrap_or(ns::DAV)
            .to_owned();
        // this name did not come from a tag, where the reader would have looked at it
        if !is_ncname(local) || ns == ns::XMLNS {
            return Err(DavError::BadRequest("a property whose name is none"));
        }
        let wanted = Wanted::named(&Name {
            ns,
            local: local.to_owned(),
        });
        let inner = asked(property, depth - 1, count)?;
        // each once: a long value that is asked for 500 times would be sent 500 times
        if all.iter().all(|other| other.wanted.name != wanted.name) {
            all.push(Asked { wanted, inner });
        }
    }
    Ok(all)
}

struct Expansion<'a> {
    context: &'a Context<'a>,
    scene: Scene,
    /// How many more responses there may be.
    responses: usize,
}

impl Expansion<'_> {
    fn write(
        &mut self,
        href: &str,
        resource: &Resource,
        asked: &[Asked],
        writer: &mut Writer,
    ) -> Result<(), DavError> {
        self.responses = self
            .responses
            .checked_sub(1)
            .ok_or(DavError::TooLarge("too much to expand"))?;
        if writer.len() > limits::EXPAND_PROPERTY_BYTES {
            return Err(DavError::TooLarge("too much to expand"));
        }
        let values = self.values(href, resource, asked)?;
        let Some(values) = values else {
            write_status_response(href, StatusCode::NOT_FOUND, writer);
            return Ok(());
        };
        writer.start(dav("response"));
        writer.element_text(dav("href"), href);
        for (status, found) in [(StatusCode::OK, true), (StatusCode::NOT_FOUND, false)] {
            let mut of_status = asked
                .iter()
                .zip(&values)
                .filter(|(_, value)| value.is_some() == found)
                .peekable();
            if of_status.peek().is_none() {
                continue;
            }
            writer.start(dav("propstat"));
            writer.start(dav("prop"));
            for (asked, value) in of_status {
                match value {
                    None => writer.name_empty(&asked.wanted.name),
                    Some(value) => self.write_value(asked, value, writer)?,
                }
            }
            writer.end();
            write_status(status, writer);
            writer.end();
        }
        writer.end();
        Ok(())
    }

    /// The properties' values as XML; `None` for a resource that is not there.
    fn values(
        &self,
        href: &str,
        resource: &Resource,
        asked: &[Asked],
    ) -> Result<Option<Vec<Option<String>>>, VaultError> {
        let Some(subject) = Subject::new(&self.scene, resource, href) else {
            return Ok(None);
        };
        let value = |asked: &Asked| {
            let mut writer = Writer::fragment();
            let found = subject.write(&asked.wanted, &mut writer)?;
            let text = String::from_utf8_lossy(&writer.finish()).into_owned();
            Ok((found == Found::Yes).then_some(text))
        };
        asked
            .iter()
            .map(value)
            .collect::<Result<Vec<_>, VaultError>>()
            .map(Some)
    }

    fn write_value(
        &mut self,
        asked: &Asked,
        value: &str,
        writer: &mut Writer,
    ) -> Result<(), DavError> {
        let (Some(row), false) = (asked.wanted.row, asked.inner.is_empty()) else {
            writer.raw(value);
            return Ok(());
        };
        let element = xml::parse(value.as_bytes(), &XmlLimits::default())?;
        writer.start(row.name);
        for href in element.children_named(dav("href")) {
            let text = href.text();
            match self.find(&text)? {
                Some((href, resource)) => self.write(&href, &resource, &asked.inner, writer)?,
                // a mail address, for one, names no resource here
                None => writer.element_text(dav("href"), &text),
            }
        }
        writer.end();
        Ok(())
    }

    fn find(&self, href: &str) -> Result<Option<(String, Resource)>, DavError> {
        let Ok(target) = self.context.parse_href(href) else {
            return Ok(None);
        };
        match resolve(self.context.account, &target) {
            Ok(resource) => {
                let href = resource_href(self.context.account, &target, &resource);
                Ok(Some((href, resource)))
            }
            Err(DavError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
