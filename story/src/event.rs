//! Reads event steps: a time in the margin, who reports, and what.

use weir_schema::Span;

use crate::clock::{STORY_DAYS_MAX, read_time};
use crate::effect::EffectNoun;
use crate::page::{EventStep, Noun, Payload};
use crate::words::{Word, raw_bytes, split};

/// Reads `TIME source kind {field=value} [x N every D] [late] [as label]`, or `TIME source raw
/// bytes`, or `TIME source json {...}`.
pub(crate) fn read_event(text: &str) -> Result<EventStep, String> {
    let (time, taken) = read_time(&text.split_whitespace().take(2).collect::<Vec<_>>())
        .ok_or("a time is HH:MM:SS[.fraction], with `D+n ` before it on later days")?;
    let (_, rest) = take_words(text, taken);
    let (source, rest) = take_words(rest, 1);
    let mut event = EventStep {
        time,
        source: source.to_owned(),
        payload: Payload::Raw(Vec::new()),
        times: 1,
        every: Span(0),
        late: false,
        label: None,
    };
    if source.is_empty() || source.contains('=') {
        return Err("a time is followed by the source that reports".to_owned());
    }
    if source.split('@').any(str::is_empty) || source.matches('@').count() > 1 {
        return Err("a source of a tenant is written `tenant@source`".to_owned());
    }
    let (kind, rest) = take_words(rest, 1);
    if kind.is_empty() || kind.contains('=') {
        return Err("a source is followed by the kind of event, or by `raw`".to_owned());
    }
    if kind == "raw" || kind == "json" {
        read_raw(&mut event, kind, rest)?;
        return Ok(event);
    }
    let words = split(rest)?;
    let mut words = words.iter().peekable();
    let mut fields: Vec<(String, String)> = Vec::new();
    while let Some(Word::Field(name, value)) = words.peek() {
        if name == "time" || name == "kind" || fields.iter().any(|(known, _)| known == name) {
            return Err(format!(
                "the field `{name}` stands twice, or in the margin already"
            ));
        }
        fields.push((name.clone(), value.clone()));
        words.next();
    }
    event.payload = Payload::Fields {
        kind: kind.to_owned(),
        fields,
    };
    let words: Vec<&Word> = words.collect();
    read_tail(&mut event, &words)?;
    Ok(event)
}

/// The bytes of a raw frame; `late` and `as label` stand before its bytes in brackets, for all
/// behind is bytes. JSON has escapes of its own, so that its bytes are what stands there.
fn read_raw(event: &mut EventStep, kind: &str, text: &str) -> Result<(), String> {
    let mut text = text;
    if let Some(inner) = text.strip_prefix("[") {
        let (words, bytes) = inner
            .split_once("] ")
            .ok_or_else(|| format!("the bracket behind `{kind}` is not closed"))?;
        let words = split(words)?;
        read_tail(event, &words.iter().collect::<Vec<_>>())?;
        text = bytes;
    }
    let bytes = match kind {
        "json" => text.as_bytes().to_vec(),
        _ => raw_bytes(text),
    };
    if bytes.is_empty() {
        return Err(format!("`{kind}` is followed by the bytes of the frame"));
    }
    if kind == "json" && !bytes.starts_with(b"{") {
        return Err("`json` is followed by an object".to_owned());
    }
    event.payload = Payload::Raw(bytes);
    Ok(())
}

fn read_tail(event: &mut EventStep, words: &[&Word]) -> Result<(), String> {
    let plain: Vec<&str> = words
        .iter()
        .map(|word| {
            word.plain()
                .ok_or_else(|| format!("`{}` stands behind the end of the fields", word.show()))
        })
        .collect::<Result<_, _>>()?;
    let mut rest = plain.as_slice();
    if let ["x", times, "every", every, after @ ..] = rest {
        let times: u32 = times.parse().map_err(|_| "`x` is followed by a number")?;
        if times < 2 {
            return Err("`x` is followed by 2 or more".to_owned());
        }
        (event.times, event.every) = (times, duration(every)?);
        rest = after;
    }
    if let ["late", after @ ..] = rest {
        event.late = true;
        rest = after;
    }
    if let ["as", label, after @ ..] = rest {
        if label.contains(',') {
            return Err("a label has no comma".to_owned());
        }
        event.label = Some((*label).to_owned());
        rest = after;
    }
    match rest {
        [] => Ok(()),
        ["x", ..] => Err("a repeat is written `x N every DURATION`".to_owned()),
        [word, ..] => Err(format!("unknown word `{word}` behind an event")),
    }
}

/// A length of time that a story may hold.
pub(crate) fn duration(text: &str) -> Result<Span, String> {
    Span::parse(text)
        .filter(|span| span.0 <= STORY_DAYS_MAX * 86_400_000_000_000)
        .ok_or_else(|| format!("`{text}` is no duration: 500ms, 15s, 10m, 24h, 7d"))
}

/// The first `n` words of `text`, and what follows behind one run of spaces.
fn take_words(text: &str, n: usize) -> (&str, &str) {
    let mut end = 0;
    for _ in 0..n {
        let rest = text.get(end..).unwrap_or_default();
        let start = end + (rest.len() - rest.trim_start().len());
        let word = text.get(start..).unwrap_or_default();
        end = start + word.find(char::is_whitespace).unwrap_or(word.len());
    }
    let (words, rest) = text.split_at(end);
    (words.trim(), rest.trim_start())
}

/// Whether narration looks so much like a step that somebody forgot to indent it.
pub(crate) fn looks_like_step(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["----", time, ..] => time.starts_with("D+") || time.as_bytes().get(2) == Some(&b':'),
        ["+" | "~" | "-", noun, ..] => EffectNoun::read(noun).is_some(),
        ["?" | "!", _, ..] | ["restart"] | ["horizon" | "stall" | "resume", _] => true,
        [noun, "+" | "-", ..] => Noun::read(noun).is_some(),
        _ => text.starts_with('|') || read_time(&words).is_some(),
    }
}
