//! Every precondition and postcondition that an answer may name in a DAV:error body
//! (RFC 4918 section 16, RFC 4791 section 1.3), each with the status it is answered with.

use http::StatusCode;

use crate::xml::{QName, caldav, dav};

/// A named condition. 403: repeating the request cannot help; 409: the user may resolve it
/// elsewhere and try again (RFC 4791 section 1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precondition {
    /// The element inside DAV:error.
    pub name: QName,
    /// The status of the answer.
    pub status: StatusCode,
}

const fn forbidden(name: QName) -> Precondition {
    let status = StatusCode::FORBIDDEN;
    Precondition { name, status }
}

const fn conflict(name: QName) -> Precondition {
    let status = StatusCode::CONFLICT;
    Precondition { name, status }
}

const fn locked(name: QName) -> Precondition {
    let status = StatusCode::LOCKED;
    Precondition { name, status }
}

const fn insufficient(name: QName) -> Precondition {
    let status = StatusCode::INSUFFICIENT_STORAGE;
    Precondition { name, status }
}

// RFC 4918 section 16

/// UNLOCK or a refresh names a token whose lock does not cover the request's URL.
pub const LOCK_TOKEN_MATCHES_REQUEST_URI: Precondition =
    conflict(dav("lock-token-matches-request-uri"));
/// A locked resource would change, and the token was not submitted; content: the locks' roots.
pub const LOCK_TOKEN_SUBMITTED: Precondition = locked(dav("lock-token-submitted"));
/// A lock that is there excludes the one asked for; content: its root.
pub const NO_CONFLICTING_LOCK: Precondition = locked(dav("no-conflicting-lock"));
/// The body has a DOCTYPE or an entity.
pub const NO_EXTERNAL_ENTITIES: Precondition = forbidden(dav("no-external-entities"));
/// A COPY or MOVE could not keep a live property alive.
pub const PRESERVED_LIVE_PROPERTIES: Precondition = conflict(dav("preserved-live-properties"));
/// PROPFIND with Depth: infinity.
pub const PROPFIND_FINITE_DEPTH: Precondition = forbidden(dav("propfind-finite-depth"));
/// PROPPATCH of a property that the server computes.
pub const CANNOT_MODIFY_PROTECTED_PROPERTY: Precondition =
    forbidden(dav("cannot-modify-protected-property"));

// RFC 3253

/// The report is not one of DAV:supported-report-set (section 3.6).
pub const SUPPORTED_REPORT: Precondition = forbidden(dav("supported-report"));
/// MKCALENDAR where something is already (RFC 4791 section 5.3.1.1). 405 as MKCOL answers (RFC 4918 section 9.3.1).
pub const RESOURCE_MUST_BE_NULL: Precondition = Precondition {
    name: dav("resource-must-be-null"),
    status: StatusCode::METHOD_NOT_ALLOWED,
};

// RFC 4791 sections 5.3.1.1, 5.3.2.1, 5.3.4, 7.5.1, 7.8, 7.9, 7.10

/// A calendar may not be made here, or a calendar collection may not go there.
pub const CALENDAR_COLLECTION_LOCATION_OK: Precondition =
    forbidden(caldav("calendar-collection-location-ok"));
/// MKCALENDAR could not set every property that was given (section 5.3.1.2).
pub const INITIALIZE_CALENDAR_COLLECTION: Precondition =
    forbidden(caldav("initialize-calendar-collection"));
/// The media type, or a form of CALDAV:calendar-data, is not supported.
pub const SUPPORTED_CALENDAR_DATA: Precondition = forbidden(caldav("supported-calendar-data"));
/// It is not iCalendar.
pub const VALID_CALENDAR_DATA: Precondition = forbidden(caldav("valid-calendar-data"));
/// It is iCalendar, but not one calendar object (one UID, one component type, no METHOD).
pub const VALID_CALENDAR_OBJECT_RESOURCE: Precondition =
    forbidden(caldav("valid-calendar-object-resource"));
/// The calendar does not take this component type.
pub const SUPPORTED_CALENDAR_COMPONENT: Precondition =
    forbidden(caldav("supported-calendar-component"));
/// The UID is in use in the calendar; content: who uses it.
pub const NO_UID_CONFLICT: Precondition = conflict(caldav("no-uid-conflict"));
/// More bytes than CALDAV:max-resource-size.
pub const MAX_RESOURCE_SIZE: Precondition = forbidden(caldav("max-resource-size"));
/// A time before CALDAV:min-date-time.
pub const MIN_DATE_TIME: Precondition = forbidden(caldav("min-date-time"));
/// A time after CALDAV:max-date-time.
pub const MAX_DATE_TIME: Precondition = forbidden(caldav("max-date-time"));
/// More instances than CALDAV:max-instances.
pub const MAX_INSTANCES: Precondition = forbidden(caldav("max-instances"));
/// More attendees in an instance than CALDAV:max-attendees-per-instance.
pub const MAX_ATTENDEES_PER_INSTANCE: Precondition =
    forbidden(caldav("max-attendees-per-instance"));
/// A collation that is not in CALDAV:supported-collation-set.
pub const SUPPORTED_COLLATION: Precondition = forbidden(caldav("supported-collation"));
/// A CALDAV:filter that is not one.
pub const VALID_FILTER: Precondition = forbidden(caldav("valid-filter"));
/// A CALDAV:filter with a component, property or parameter that cannot be searched.
pub const SUPPORTED_FILTER: Precondition = forbidden(caldav("supported-filter"));

// RFC 7529

/// A recurrence rule of a calendar system (RSCALE), or with a SKIP, that is not computed here.
pub const SUPPORTED_RSCALE: Precondition = forbidden(caldav("supported-rscale"));

// RFC 7809

/// A time zone identifier that is not known here (sections 3.1.5 and 3.1.6).
pub const VALID_TIMEZONE: Precondition = forbidden(caldav("valid-timezone"));

// RFC 6578

/// The sync-token is not one of this collection, or too old: start over (section 3.2).
pub const VALID_SYNC_TOKEN: Precondition = forbidden(dav("valid-sync-token"));
/// A member collection that has to be asked for itself (section 3.3).
pub const SYNC_TRAVERSAL_SUPPORTED: Precondition = forbidden(dav("sync-traversal-supported"));

// RFC 3744

/// More matches than the server gives in one answer (also RFC 4791 section 7.8 and RFC 6578 section 3.2).
pub const NUMBER_OF_MATCHES_WITHIN_LIMITS: Precondition =
    forbidden(dav("number-of-matches-within-limits"));
/// The same, for the part of an answer that was cut (RFC 6578 section 3.6).
pub const TRUNCATED: Precondition = insufficient(dav("number-of-matches-within-limits"));
/// A privilege is missing (section 7.1.1).
pub const NEED_PRIVILEGES: Precondition = forbidden(dav("need-privileges"));
/// ACL would change a protected ACE (section 8.1.1): here, all are.
pub const NO_PROTECTED_ACE_CONFLICT: Precondition = forbidden(dav("no-protected-ace-conflict"));
/// ACL with ACEs that contradict each other (section 8.1.1).
pub const NO_ACE_CONFLICT: Precondition = forbidden(dav("no-ace-conflict"));
/// ACL against an inherited ACE (section 8.1.1).
pub const NO_INHERITED_ACE_CONFLICT: Precondition = forbidden(dav("no-inherited-ace-conflict"));
/// ACL with too many ACEs (section 8.1.1).
pub const LIMITED_NUMBER_OF_ACES: Precondition = forbidden(dav("limited-number-of-aces"));
/// ACL with a grant before a deny (section 8.1.1).
pub const DENY_BEFORE_GRANT: Precondition = forbidden(dav("deny-before-grant"));
/// ACL with a deny (section 8.1.1).
pub const GRANT_ONLY: Precondition = forbidden(dav("grant-only"));
/// ACL with DAV:invert (section 8.1.1).
pub const NO_INVERT: Precondition = forbidden(dav("no-invert"));
/// ACL with an abstract privilege (section 8.1.1).
pub const NO_ABSTRACT: Precondition = forbidden(dav("no-abstract"));
/// ACL with an unknown privilege (section 8.1.1).
pub const NOT_SUPPORTED_PRIVILEGE: Precondition = forbidden(dav("not-supported-privilege"));
/// ACL without a principal that must be named (section 8.1.1).
pub const MISSING_REQUIRED_PRINCIPAL: Precondition = forbidden(dav("missing-required-principal"));
/// ACL with an unknown principal (section 8.1.1).
pub const RECOGNIZED_PRINCIPAL: Precondition = forbidden(dav("recognized-principal"));
/// ACL with a principal that may not be granted anything (section 8.1.1).
pub const ALLOWED_PRINCIPAL: Precondition = forbidden(dav("allowed-principal"));

// RFC 4331, RFC 5689

/// A bound of the account is reached (RFC 4331 section 6).
pub const QUOTA_NOT_EXCEEDED: Precondition = insufficient(dav("quota-not-exceeded"));
/// The disk is full (RFC 4331 section 6).
pub const SUFFICIENT_DISK_SPACE: Precondition = insufficient(dav("sufficient-disk-space"));
/// MKCOL with a DAV:resourcetype that cannot be made (RFC 5689 section 3.3).
pub const VALID_RESOURCETYPE: Precondition = forbidden(dav("valid-resourcetype"));
