//! Live properties of RFC 3744 and RFC 5397.
//!
//! Everything in an account's tree is its owner's, with all privileges, and nobody else's: one
//! protected ACE says so. What is outside of the homes can be read by who is signed in. A device
//! whose slot is for reading only has no more than DAV:read, whatever the ACE grants its owner, and
//! one with chosen calendars changes no collection; current-user-privilege-set says so, and clients
//! then do not offer it.

use super::context::Kind;
use super::property::{
    Access, Allprop, Found, Property, Subject, everywhere, in_tree, principals, write_empty,
    write_href,
};
use super::target::{PRINCIPALS, principal_href};
use crate::vault::VaultError;
use crate::xml::{QName, Writer, caldav, dav};

const fn row(
    local: &'static str,
    on: fn(Kind) -> bool,
    get: fn(&Subject<'_>, &mut Writer) -> Result<Found, VaultError>,
) -> Property {
    let (allprop, access) = (Allprop::Named, Access::Protected);
    Property {
        name: dav(local),
        on,
        allprop,
        access,
        get,
    }
}

/// The rows.
pub const ROWS: &[Property] = &[
    row("current-user-principal", everywhere, |subject, writer| {
        own_principal("current-user-principal", subject, writer)
    }),
    row("owner", owned, |subject, writer| {
        own_principal("owner", subject, writer)
    }),
    row("principal-URL", principals, |subject, writer| {
        own_principal("principal-URL", subject, writer)
    }),
    row("principal-collection-set", everywhere, |_, writer| {
        write_href(dav("principal-collection-set"), PRINCIPALS, writer)
    }),
    row("alternate-URI-set", principals, |_, writer| {
        write_empty(dav("alternate-URI-set"), writer)
    }),
    row("group-member-set", principals, |_, writer| {
        write_empty(dav("group-member-set"), writer)
    }),
    row("group-membership", principals, |_, writer| {
        write_empty(dav("group-membership"), writer)
    }),
    row(
        "supported-privilege-set",
        everywhere,
        supported_privilege_set,
    ),
    row(
        "current-user-privilege-set",
        everywhere,
        current_user_privilege_set,
    ),
    row("acl", everywhere, acl),
    row("acl-restrictions", everywhere, acl_restrictions),
    row("inherited-acl-set", everywhere, |_, writer| {
        write_empty(dav("inherited-acl-set"), writer)
    }),
];

/// What belongs to the account.
fn owned(kind: Kind) -> bool {
    in_tree(kind) || kind == Kind::Principal
}

fn own_principal(
    local: &'static str,
    subject: &Subject<'_>,
    writer: &mut Writer,
) -> Result<Found, VaultError> {
    write_href(
        dav(local),
        &principal_href(subject.scene.account.name()),
        writer,
    )
}

/// A privilege, what it means, and those it contains.
struct Privilege {
    name: QName,
    description: &'static str,
    contains: &'static [Privilege],
}

const fn leaf(name: QName, description: &'static str) -> Privilege {
    Privilege {
        name,
        description,
        contains: &[],
    }
}

/// To read what is in a home.
const READ: Privilege = Privilege {
    name: dav("read"),
    description: "Read",
    contains: &[
        leaf(dav("read-acl"), "Read the access control list"),
        leaf(
            dav("read-current-user-privilege-set"),
            "Read one's own privileges",
        ),
        leaf(caldav("read-free-busy"), "Read busy times"),
    ],
};

/// What a device with chosen calendars has on one of them: its members come, go and change, the
/// calendar itself stays as it is.
const MEMBERS_ONLY: &[Privilege] = &[
    READ,
    leaf(dav("write-content"), "Write content"),
    leaf(dav("bind"), "Add members"),
    leaf(dav("unbind"), "Remove members"),
];

/// The privileges of what is in a home (RFC 3744 section 3, RFC 4791 section 6.1.1). DAV:write-acl
/// is not among them, because no ACL can be changed.
const ALL: Privilege = Privilege {
    name: dav("all"),
    description: "Everything",
    contains: &[
        READ,
        Privilege {
            name: dav("write"),
            description: "Write",
            contains: &[
                leaf(dav("write-properties"), "Write properties"),
                leaf(dav("write-content"), "Write content"),
                leaf(dav("bind"), "Add members"),
                leaf(dav("unbind"), "Remove members"),
            ],
        },
        leaf(dav("unlock"), "Remove another's lock"),
    ],
};

/// The privileges of what is outside of the homes.
const READ_ONLY: Privilege = Privilege {
    name: dav("read"),
    description: "Read",
    contains: &[
        leaf(dav("read-acl"), "Read the access control list"),
        leaf(
            dav("read-current-user-privilege-set"),
            "Read one's own privileges",
        ),
    ],
};

fn privileges(kind: Kind) -> &'static Privilege {
    if in_tree(kind) { &ALL } else { &READ_ONLY }
}

fn supported_privilege_set(
    subject: &Subject<'_>,
    writer: &mut Writer,
) -> Result<Found, VaultError> {
    writer.start(dav("supported-privilege-set"));
    write_supported(privileges(subject.kind), writer);
    writer.end();
    Ok(Found::Yes)
}

fn write_supported(privilege: &Privilege, writer: &mut Writer) {
    writer.start(dav("supported-privilege"));
    write_privilege(privilege.name, writer);
    writer.start_with(dav("description"), &[("xml:lang", "en")]);
    writer.text(privilege.description);
    writer.end();
    for contained in privilege.contains {
        write_supported(contained, writer);
    }
    writer.end();
}

/// What the device has: its account's privileges, or fewer.
fn granted(subject: &Subject<'_>) -> &'static [Privilege] {
    const EVERYTHING: &[Privilege] = &[ALL];
    const READING: &[Privilege] = &[READ];
    const OUTSIDE: &[Privilege] = &[READ_ONLY];
    let account = &subject.scene.account;
    match subject.kind {
        kind if !in_tree(kind) => OUTSIDE,
        _ if account.access() == crate::seal::Access::ReadOnly => READING,
        Kind::Calendar if account.is_limited() => MEMBERS_ONLY,
        Kind::CalendarObject => EVERYTHING,
        _ if account.is_limited() => READING,
        _ => EVERYTHING,
    }
}

fn current_user_privilege_set(
    subject: &Subject<'_>,
    writer: &mut Writer,
) -> Result<Found, VaultError> {
    writer.start(dav("current-user-privilege-set"));
    for granted in granted(subject) {
        write_flat(granted, writer);
    }
    writer.end();
    Ok(Found::Yes)
}

/// A granted privilege and all that it contains: clients look for each by name.
fn write_flat(privilege: &Privilege, writer: &mut Writer) {
    write_privilege(privilege.name, writer);
    for contained in privilege.contains {
        write_flat(contained, writer);
    }
}

fn write_privilege(name: QName, writer: &mut Writer) {
    writer.start(dav("privilege"));
    writer.empty(name);
    writer.end();
}

/// The one ACE (RFC 3744 section 5.5): the owner may do everything.
fn acl(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    writer.start(dav("acl"));
    writer.start(dav("ace"));
    writer.start(dav("principal"));
    if owned(subject.kind) {
        writer.start(dav("property"));
        writer.empty(dav("owner"));
        writer.end();
    } else {
        writer.empty(dav("authenticated"));
    }
    writer.end();
    writer.start(dav("grant"));
    write_privilege(privileges(subject.kind).name, writer);
    writer.end();
    writer.empty(dav("protected"));
    writer.end();
    writer.end();
    Ok(Found::Yes)
}

fn acl_restrictions(_: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    writer.start(dav("acl-restrictions"));
    writer.empty(dav("grant-only"));
    writer.empty(dav("no-invert"));
    writer.end();
    Ok(Found::Yes)
}
