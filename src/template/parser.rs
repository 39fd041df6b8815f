//! Reads template text into nodes (rules G1 to G5, G8 and the nesting limit of G10).
//!
//! `{name(` commits: a call that does not parse is an error, never text. After an error the parser
//! goes on behind the call, so that several mistakes are reported at once.

use super::ast::{Argument, Call, Node, Path, Quoted};
use super::error::{Code, Finding};
use super::lexer::{Lexer, Piece};
use super::macros::Names;
use super::token::{MappedText, Token};

/// Calls may stand in calls, and in the text of a `join`, this deep.
pub(super) const NESTING_MAX: usize = 4;

/// Parsing stops after this many errors; the first ones are what people fix first.
const ERRORS_MAX: usize = 20;

/// What came of reading a template: nodes, and what was wrong.
pub(super) struct Parsed {
    pub(super) nodes: Vec<Node>,
    pub(super) errors: Vec<Finding>,
}

/// Reads `text`. `angle` is the catalogue if `<Name>` counts as a macro.
pub(super) fn parse(text: &MappedText, angle: Option<&dyn Names>) -> Parsed {
    let mut parser = Parser { angle, errors: Vec::new() };
    let nodes = parser.template(text, 0);
    Parsed { nodes, errors: parser.errors }
}

struct Parser<'a> {
    angle: Option<&'a dyn Names>,
    errors: Vec<Finding>,
}

/// Parsing of the current call ended; the finding is already recorded or returned.
type Attempt<T> = Result<T, Box<Finding>>;

impl<'a> Parser<'a> {
    fn template(&mut self, text: &MappedText, depth: usize) -> Vec<Node> {
        let mut lexer = Lexer::new(text, self.angle);
        let mut nodes = Vec::new();
        while let Some(piece) = lexer.next_piece() {
            match piece {
                Piece::Text(literal) => nodes.push(Node::Text(literal)),
                Piece::Path(path) => nodes.push(Node::Path(path)),
                Piece::CallOpen { name, start, name_end } => match self.brace_call(&mut lexer, text, name, start, name_end, depth) {
                    Ok(call) => nodes.push(Node::Call(call)),
                    Err(finding) => {
                        self.errors.push(*finding);
                        if self.errors.len() >= ERRORS_MAX {
                            return nodes;
                        }
                        skip_call(&mut lexer);
                    }
                },
            }
        }
        nodes
    }

    /// A call with its braces; the lexer stands behind `{name(`.
    fn brace_call(
        &mut self,
        lexer: &mut Lexer<'_>,
        text: &MappedText,
        name: String,
        start: usize,
        name_end: usize,
        depth: usize,
    ) -> Attempt<Call> {
        let mut call = self.call(lexer, text, name, name_end, depth + 1)?;
        let (token, at) = lexer.next_token();
        match token {
            Token::BraceClose => {
                call.span = text.span(start, lexer.position());
                Ok(call)
            }
            Token::End => Err(unterminated(text, start, &call.name)),
            _ => Err(Box::new(Finding::new(
                Code::BadCall,
                text.span(at, lexer.position()),
                format!("`{}(…)` must be followed by `}}`", call.name),
            ))),
        }
    }

    /// The arguments of a call; the lexer stands behind `(`.
    fn call(&mut self, lexer: &mut Lexer<'_>, text: &MappedText, name: String, name_end: usize, depth: usize) -> Attempt<Call> {
        let name_start = name_end - name.len();
        if depth > NESTING_MAX {
            return Err(Box::new(Finding::new(
                Code::NestingTooDeep,
                text.span(name_start, name_end),
                format!("`{name}` is nested more than {NESTING_MAX} calls deep; take a level out"),
            )));
        }
        let mut call =
            Call { name_span: text.span(name_start, name_end), name, arguments: Vec::new(), span: text.span(name_start, name_end) };
        loop {
            let (token, at) = lexer.next_token();
            let argument = match token {
                Token::CallClose if call.arguments.is_empty() => break,
                Token::Path(segments) => Argument::Path(Path { segments, span: text.span(at, lexer.position()) }),
                Token::CallOpen(name) => {
                    let name_end = lexer.position() - 1;
                    Argument::Call(self.call(lexer, text, name, name_end, depth + 1)?)
                }
                Token::Text(decoded) => {
                    let span = text.span(at, lexer.position());
                    let is_item_text = call.name == "join" && call.arguments.len() == 2;
                    let template = is_item_text.then(|| self.template(&decoded, depth));
                    Argument::Text(Quoted { decoded, span, template })
                }
                Token::End | Token::UnterminatedText => {
                    return Err(unterminated(text, name_start, &call.name));
                }
                other => return Err(unexpected(text, lexer, at, &other, &call.name)),
            };
            call.arguments.push(argument);
            let (token, at) = lexer.next_token();
            match token {
                Token::Comma => {}
                Token::CallClose => break,
                Token::End => return Err(unterminated(text, name_start, &call.name)),
                other => return Err(unexpected(text, lexer, at, &other, &call.name)),
            }
        }
        call.span = text.span(name_start, lexer.position());
        Ok(call)
    }
}

fn unterminated(text: &MappedText, start: usize, name: &str) -> Box<Finding> {
    Box::new(Finding::new(
        Code::UnterminatedCall,
        text.span(start, text.text().len()),
        format!("the call of `{name}` does not end; close it with `)}}`"),
    ))
}

fn unexpected(text: &MappedText, lexer: &Lexer<'_>, at: usize, token: &Token, name: &str) -> Box<Finding> {
    let message = match token {
        Token::Other('\'') => format!("`{name}` needs its text in double quotes, not single ones"),
        Token::Other(c) => {
            format!("`{c}` cannot stand in the call of `{name}`; a name, a call or a text in double quotes is needed")
        }
        Token::Comma | Token::CallClose => {
            format!("an argument of `{name}` is missing here; give a name, a call or a text in double quotes")
        }
        _ => format!("the arguments of `{name}` must be separated by commas and closed with `)`"),
    };
    Box::new(Finding::new(Code::BadCall, text.span(at, lexer.position()), message))
}

/// Goes on behind the call: after the next `)}`, or on the next line, or at the end.
fn skip_call(lexer: &mut Lexer<'_>) {
    let rest = lexer.rest();
    let next = match (rest.find(")}"), rest.find('\n')) {
        (Some(close), _) => lexer.position() + close + 2,
        (None, Some(newline)) => lexer.position() + newline,
        (None, None) => lexer.position() + rest.len(),
    };
    lexer.jump(next);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<&'static str> {
        let parsed = parse(&MappedText::identity(text), None);
        parsed.errors.iter().map(|f| f.code.as_str()).collect()
    }

    #[test]
    fn a_half_open_call_is_an_error_of_its_own_kind() {
        assert_eq!(codes("{join(items, i, \"x"), ["unterminated_call"]);
        assert_eq!(codes("{join(items, i, \"x\")"), ["unterminated_call"]);
        assert_eq!(codes("{join(items"), ["unterminated_call"]);
        assert_eq!(codes("{join(items,, i)}"), ["bad_call"]);
        assert_eq!(codes("{lower(A,)}"), ["bad_call"]);
        assert_eq!(codes("{lower(A) & }"), ["bad_call"]);
        assert_eq!(codes("{lower(1)}"), ["bad_call"]);
        assert_eq!(codes("{lower()}"), Vec::<&str>::new());
    }

    #[test]
    fn several_errors_are_found_in_one_pass() {
        assert_eq!(codes("{a('x')} {b(,)}\n{c(x"), ["bad_call", "bad_call", "unterminated_call"]);
    }

    #[test]
    fn four_levels_are_accepted_and_a_fifth_is_not() {
        assert_eq!(codes("{a(b(c(d(X))))}"), Vec::<&str>::new());
        assert_eq!(codes("{a(b(c(d(e(X)))))}"), ["nesting_too_deep"]);
        assert_eq!(codes("{join(l, i, \"{a(b(c(X)))}\")}"), Vec::<&str>::new());
        assert_eq!(codes("{join(l, i, \"{a(b(c(d(X))))}\")}"), ["nesting_too_deep"]);
    }

    #[test]
    fn deep_input_needs_no_deep_stack() {
        let run = || {
            for open in ["{a(", "{", "a(", "{join(l,i,\"", "<"] {
                let text = open.repeat(20_000);
                parse(&MappedText::identity(&text), None);
            }
        };
        let thread = std::thread::Builder::new().stack_size(256 * 1024);
        thread.spawn(run).unwrap().join().unwrap();
    }
}
