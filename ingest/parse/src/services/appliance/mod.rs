//! Messages of firewalls and other appliances, recognized by their form.

use crate::Context;
use crate::draft::Draft;
use crate::services::{dhcp, dns, text};

pub(crate) mod aruba;
mod checkpoint;
mod citrix;
mod filterlog;
mod ise;
mod junos;
mod mikrotik;
pub(crate) mod pairs;
mod panos;
mod snare;
mod squid;
mod umbrella;
mod watchguard;
mod webgui;

pub(crate) use checkpoint::read as read_checkpoint;
pub(crate) use junos::read_data as read_junos_data;
pub(crate) use webgui::read as read_web_login;

/// A form of message: what its first 64 bytes must be like, and its reader.
struct Form {
    may_be: fn(&[u8]) -> bool,
    read: for<'a> fn(&'a str, &Context<'_>, &mut Draft<'a>) -> bool,
}

/// The forms, in the order in which they are tried.
const FORMS: [Form; 12] = [
    Form {
        may_be: |head| is_digit(head) && head.iter().take(3).any(|b| *b == b','),
        read: panos::read,
    },
    Form {
        may_be: |head| is_digit(head) && contains(head, b"-PPE-"),
        read: |message, _, draft| citrix::read(message, draft),
    },
    Form {
        may_be: |head| is_digit(head) && head.get(10) == Some(&b'.'),
        read: |message, _, draft| squid::read(message, draft),
    },
    Form {
        may_be: |head| is_digit(head) && head.iter().take(6).any(|b| *b == b','),
        read: dhcp::read_windows,
    },
    Form {
        may_be: |head| is_digit(head) && contains(head, b" PACKET "),
        read: dns::read_windows,
    },
    Form {
        may_be: |head| is_digit(head) && head.get(5) == Some(&b' ') && contains(head, b": "),
        read: |message, _, draft| aruba::read_numbered(message, draft),
    },
    Form {
        may_be: |head| head.starts_with(b"MSWinEventLog"),
        read: |message, _, draft| snare::read(message, draft),
    },
    Form {
        may_be: |head| head.starts_with(b"CISE_"),
        read: ise::read,
    },
    Form {
        may_be: |head| head.starts_with(b"(2") && contains(head, b": msg_id="),
        read: watchguard::read,
    },
    Form {
        may_be: |head| head.starts_with(b"\"2"),
        read: |message, _, draft| umbrella::read(message, draft),
    },
    Form {
        may_be: |head| head.starts_with(b"[") && contains(head, b":\""),
        read: |message, _, draft| checkpoint::read(message, draft),
    },
    Form {
        may_be: |head| head.starts_with(b"[") || head.first().is_some_and(u8::is_ascii_alphabetic),
        read: |message, _, draft| mikrotik::read(message, draft),
    },
];

fn is_digit(head: &[u8]) -> bool {
    head.first().is_some_and(u8::is_ascii_digit)
}

fn contains(head: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(head, part).is_some()
}

/// Reads a message of an appliance. Its first 64 bytes exclude most readers. Returns false, with
/// nothing changed, for other messages.
pub(crate) fn read<'a>(message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let head = text::head(message);
    FORMS
        .iter()
        .any(|form| (form.may_be)(head) && (form.read)(message, context, draft))
}

/// Reads the message of an appliance's own program. Returns false, with nothing changed, for other
/// programs.
pub(crate) fn read_program<'a>(name: &[u8], message: &'a str, draft: &mut Draft<'a>) -> bool {
    match name {
        b"filterlog" => filterlog::read(message, draft),
        b"rt_flow" => junos::read(message, draft),
        b"squid" => squid::read(message, draft),
        b"php-fpm" => webgui::read(message, draft),
        _ => return false,
    };
    true
}
