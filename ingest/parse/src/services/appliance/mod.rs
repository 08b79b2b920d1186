//! Messages of firewalls and other appliances, recognized by their form.

use crate::Context;
use crate::draft::Draft;

mod checkpoint;
mod citrix;
mod csv;
mod filterlog;
mod junos;
mod mikrotik;
mod panos;
mod snare;
mod squid;

pub(crate) use checkpoint::read as read_checkpoint;

/// Reads a message of an appliance. Its first bytes exclude most readers. Returns false, with nothing
/// changed, for other messages.
pub(crate) fn read<'a>(message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let bytes = message.as_bytes();
    match bytes.first() {
        Some(b'0'..=b'9') => {
            panos::read(message, context, draft)
                || citrix::read(message, draft)
                || squid::read(message, draft)
        }
        Some(b'M') => snare::read(message, draft),
        Some(b'[') => checkpoint::read(message, draft) || mikrotik::read(message, draft),
        Some(b'a'..=b'z' | b'A'..=b'Z') => mikrotik::read(message, draft),
        _ => false,
    }
}

/// Reads the message of an appliance's own program. Returns false, with nothing changed, for other
/// programs.
pub(crate) fn read_program<'a>(name: &[u8], message: &'a str, draft: &mut Draft<'a>) -> bool {
    match name {
        b"filterlog" => filterlog::read(message, draft),
        b"rt_flow" => junos::read(message, draft),
        b"squid" => squid::read(message, draft),
        _ => return false,
    };
    true
}
