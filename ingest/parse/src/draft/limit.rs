//! The limit of fields: fields whose names matter take the places of others.

use std::borrow::Cow;

use weir_schema::Value;

use super::Draft;
use crate::{FIELDS_MAX, field_index, observables};

/// Last parts of names that rules often read, in lower case, besides those that hold observables or
/// tell the source. `_` does not matter.
const OFTEN_READ: [&str; 40] = [
    "accesslist",
    "accessmask",
    "args",
    "authenticationpackagename",
    "calltrace",
    "cmdline",
    "commandline",
    "cs-method",
    "cs-uri-query",
    "cs-uri-stem",
    "currentdirectory",
    "description",
    "details",
    "errorcode",
    "exe",
    "failurereason",
    "grantedaccess",
    "imageloaded",
    "imagepath",
    "integritylevel",
    "logontype",
    "objectname",
    "objecttype",
    "originalfilename",
    "outcome",
    "parentcommandline",
    "pipename",
    "program",
    "relativetargetname",
    "scriptblocktext",
    "servicefilename",
    "servicename",
    "sharename",
    "startmodule",
    "status",
    "substatus",
    "tag",
    "targetobject",
    "taskname",
    "ticketencryptiontype",
];

/// Returns whether a name says that rules read the field, that it holds an observable, or that it
/// helps to recognize the source, the time or the message.
fn matters(name: &str) -> bool {
    field_index::is_known(name) || observables::is_known(name) || is_often_read(name)
}

fn is_often_read(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let plain = || last.bytes().filter(|byte| *byte != b'_');
    let is_same = |known: &&str| {
        known
            .bytes()
            .eq(plain().map(|byte| byte.to_ascii_lowercase()))
    };
    OFTEN_READ.iter().any(is_same)
}

impl<'a> Draft<'a> {
    /// Puts a field beyond the limit in the place of the last field that does not matter, if the new one
    /// does.
    #[cold]
    pub(super) fn replace_minor(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        if !matters(&name) {
            return;
        }
        while self.looked_at < FIELDS_MAX {
            let at = FIELDS_MAX - 1 - self.looked_at;
            self.looked_at += 1;
            let old = self.fields.get_mut(at);
            let Some(field) = old.filter(|(old, _)| !matters(old)) else {
                continue;
            };
            if let Some(index) = &mut self.index {
                index.remove(&field.0);
                index.insert(name.clone(), at);
            }
            *field = (name, value);
            return;
        }
    }
}
