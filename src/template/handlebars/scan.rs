//! Looks over handlebars text before the crate's parser sees it.
//!
//! The parser recurses on blocks and parentheses, so their depth is limited on the text itself.
//! Constructs that write past the escaping, or call other templates, are refused by their sign.

use crate::template::error::{Code, Finding, Span};

/// Blocks, and parentheses within one tag, may be nested this deep.
pub(super) const DEPTH_MAX: usize = 16;

/// One block may have this many `else` tags.
const ELSE_MAX: usize = 32;

type Scan<T> = Result<T, Box<Finding>>;

fn refuse<T>(code: Code, start: usize, end: usize, message: &str) -> Scan<T> {
    Err(Box::new(Finding::new(code, Span::new(start, end), message)))
}

/// Checks `source`.
pub(super) fn scan(source: &str) -> Scan<()> {
    let mut elses: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(found) = source[at..].find("{{") {
        let start = at + found;
        if source[..start].ends_with('\\') && !source[..start].ends_with("\\\\") {
            at = start + 2;
            continue;
        }
        let inside = source[start + 2..].trim_start_matches('~');
        if inside.starts_with('!') {
            let end = if inside.starts_with("!--") { "--}}" } else { "}}" };
            at = source[start..].find(end).map_or(source.len(), |length| start + length + end.len());
            continue;
        }
        sign(inside, start)?;
        let length = tag_bytes(inside, start)?;
        let tag = inside[..length].trim();
        blocks(tag, start, &mut elses)?;
        at = source.len() - inside.len() + length;
    }
    Ok(())
}

/// Refuses tags by their first characters.
fn sign(inside: &str, start: usize) -> Scan<()> {
    let inside = inside.trim_start();
    let end = start + 3;
    let refused = |message| refuse(Code::RefusedConstruct, start, end, message);
    if inside.starts_with("{{") {
        return refused("raw blocks are switched off, because their text is not checked; write the text as it is");
    }
    if inside.starts_with(['{', '&']) {
        return refused("triple braces and `&` are switched off, because they skip escaping; use `{{raw x}}` if that is meant");
    }
    let block = inside.strip_prefix('#').map(str::trim_start);
    if inside.starts_with('>') || block.is_some_and(|block| block.starts_with('>')) {
        return refused("partials are switched off, because a partial can call itself; write the text in place");
    }
    if inside.starts_with('*') || block.is_some_and(|block| block.starts_with('*')) {
        return refused("decorators and inline partials are switched off; write the text in place");
    }
    Ok(())
}

/// How many bytes stand before the tag's `}}`; limits its parentheses.
fn tag_bytes(inside: &str, start: usize) -> Scan<usize> {
    let bytes = inside.as_bytes();
    let mut depth = 0_usize;
    let mut quote = None;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match quote {
            Some(_) if byte == b'\\' => at += 1,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None => match byte {
                b'"' | b'\'' => quote = Some(byte),
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' => depth = depth.saturating_sub(1),
                b'}' if bytes.get(at + 1) == Some(&b'}') && depth == 0 => return Ok(at),
                b'}' => depth = depth.saturating_sub(1),
                _ => {}
            },
        }
        if depth > DEPTH_MAX {
            let message = "parentheses are nested more than 16 deep; take a level out";
            return refuse(Code::NestingTooDeep, start, start + 2, message);
        }
        at += 1;
    }
    // The parser names the missing braces better than this scan could.
    Ok(inside.len())
}

/// Limits the depth of blocks and the number of `else` in each.
fn blocks(tag: &str, start: usize, elses: &mut Vec<usize>) -> Scan<()> {
    if tag.starts_with('#') {
        elses.push(0);
        if elses.len() > DEPTH_MAX {
            let message = "blocks are nested more than 16 deep; take a level out";
            return refuse(Code::NestingTooDeep, start, start + 2, message);
        }
    } else if tag.starts_with('/') {
        elses.pop();
    } else if tag.starts_with("else") || tag.starts_with('^') {
        let count = elses.last_mut();
        if let Some(count) = count {
            *count += 1;
            if *count > ELSE_MAX {
                let message = "the block has more than 32 `else` tags; use `map` to translate values";
                return refuse(Code::NestingTooDeep, start, start + 2, message);
            }
        }
    }
    Ok(())
}
