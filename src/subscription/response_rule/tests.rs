//! Tests of the response rules, as tables.

use super::*;

fn matches(rule: &str, status: u16, body: impl AsRef<[u8]>) -> bool {
    ResponseRule::parse(rule).unwrap().matches(status, body.as_ref())
}

#[test]
fn answers_of_known_receivers() {
    let table: &[(&str, u16, &str, bool)] = &[
        // TUNE
        ("success=true", 200, "success=true;", true),
        ("success=true", 200, "success=false; err_msg=Invalid transaction;", false),
        // Keitaro with `return=OK`
        ("exact:OK", 200, "OK\n", true),
        ("exact:OK", 200, "NOT OK", false),
        ("contains:OK", 200, "NOT OK", true),
        ("contains:NOT OK", 200, "NOT OK", true),
        // HOQU
        ("json:/status=success", 200, r#"{"status":"success","rejected_by_conflict":false}"#, true),
        ("json:/rejected_by_conflict", 200, r#"{"status":"success","rejected_by_conflict":false}"#, false),
        ("json:/rejected_by_conflict=true", 200, r#"{"status":"success","rejected_by_conflict":true}"#, true),
        // Meta
        ("json:/events_received=1", 200, r#"{"events_received":1,"messages":[],"fbtrace_id":"A"}"#, true),
        ("json:/events_received=1", 200, r#"{"events_received":11}"#, false),
        // A network that wants 200 and `1` or `OK`
        ("status:200\nregex:^(1|OK)$", 200, "1", true),
        ("status:200\nregex:^(1|OK)$", 202, "1", false),
    ];
    for (rule, status, body, expected) in table {
        assert_eq!(matches(rule, *status, body), *expected, "{rule:?} {status} {body:?}");
    }
}

#[test]
fn text_conditions() {
    let table: &[(&str, &[u8], bool)] = &[
        ("contains: OK ", b"xOKx", true),
        ("contains:ok", b"OK", false),
        ("a:b", b"a:b", true),
        ("exact:  a b  ", b"\r\n a b \n", true),
        ("exact:a b", b"a  b", false),
        ("regex:\\bOK\\b", b"NOK", false),
        ("regex:(?i)ok", b"Ok", true),
        ("regex:^ä+$", "ää".as_bytes(), true),
        ("OK", b"\xef\xbb\xbfOK", true),
        ("exact:OK", b"\xef\xbb\xbfOK", true),
        ("exact:OK", b"\xff\xfeO\0K\0", true),
        ("exact:OK", b"\xfe\xff\0O\0K", true),
        ("regex:^OK$", b"\xff\xfeO\0K\0", true),
        ("OK", b"\xff\xffOK\x80", true),
        ("regex:OK", b"\xff\xc3OK", true),
        ("exact:OK", b"OK\x80", false),
        ("OK", b"", false),
        ("OK\n\n  \nDONE", b"DONE, OK", true),
        ("OK\nDONE", b"OK", false),
    ];
    for (rule, body, expected) in table {
        assert_eq!(matches(rule, 200, body), *expected, "{rule:?} {body:?}");
    }
}

#[test]
fn json_conditions() {
    let body = r#"{"status":"ok","code":0,"n":1.50,"big":12345678901234567890.10,"yes":true,"no":false,"nil":null,"empty":"",
        "data":{"list":[{"id":7}],"a/b":"slash","m~n":"tilde"},"quoted":"\"x\"","eq":"a=b","a.b":"dot"}"#;
    let table = [
        ("/status=ok", true),
        ("status=ok", true),
        ("/status=\"ok\"", true),
        (" /status = ok ", true),
        ("/status=OK", false),
        ("/code=0", true),
        ("/code=0.0", true),
        ("/code=\"0\"", false),
        ("/n=1.5", true),
        ("/n=1.50", true),
        ("/n=15", false),
        ("/big=12345678901234567890.1", true),
        ("/big=12345678901234567891", false),
        ("/yes=true", true),
        ("/yes=1", false),
        ("/nil=null", true),
        ("/missing=null", false),
        ("/empty=", true),
        ("/status=", false),
        ("data.list.0.id=7", true),
        ("/data/list/0/id=7", true),
        ("/data/list/1/id=7", false),
        ("/data/a~1b=slash", true),
        ("/data/m~0n=tilde", true),
        ("/quoted=\"x\"", true),
        ("/eq=a=b", true),
        ("/a.b=dot", true),
        ("/data=x", false),
        ("/status", true),
        ("/code", true),
        ("/empty", true),
        ("/data", true),
        ("/no", false),
        ("/nil", false),
        ("/missing", false),
    ];
    for (rule, expected) in table {
        assert_eq!(matches(&format!("json:{rule}"), 200, body), expected, "{rule}");
    }
}

#[test]
fn f5_what_is_not_whole_json_holds_no_condition() {
    let deep = format!("{}1{}", "[".repeat(30_000), "]".repeat(30_000));
    let long_number = format!("{{\"a\":{}}}", "9".repeat(60_000));
    assert!(!matches("json:/0", 200, deep));
    assert!(matches("json:/a", 200, long_number));
    for body in ["", "{\"a\":1", "{\"a\":1} x", "a=1", "callback({\"a\":1})"] {
        assert!(!matches("json:/a=1", 200, body), "{body}");
    }
    assert!(matches("json:/a=2", 200, r#"{"a":1,"a":2}"#), "the last of two equal keys counts");
    assert!(matches("json:/a=1", 200, b"\xef\xbb\xbf{\"a\":1}\n"));
}

#[test]
fn xml_conditions() {
    let body = r#"<?xml version="1.0" encoding="UTF-8"?>
        <response code="0" xmlns="urn:x"><!-- < --><status> ok </status><item>1</item><item>2</item><a>x<b>y</b>z</a><t><![CDATA[a & b]]></t><e/></response>"#;
    let table = [
        ("/response/status=ok", true),
        ("response/status=ok", true),
        ("/response/status=no", false),
        ("/response/item=2", true),
        ("/response/@code=0", true),
        ("/response/@code=1", false),
        ("/response/@code", true),
        ("/response/@none", false),
        ("/response/a=xyz", true),
        ("/response/t=a & b", true),
        ("/response/e", true),
        ("/response/e=", true),
        ("/response/none", false),
        ("/status=ok", false),
        ("/response", true),
    ];
    for (rule, expected) in table {
        assert_eq!(matches(&format!("xml:{rule}"), 200, body), expected, "{rule}");
    }
}

#[test]
fn f7_hostile_xml_holds_no_condition_and_stays_cheap() {
    let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><r>&b;</r>";
    let attributes = format!("<r {}/>", (0..8_000).map(|n| format!("a{n}=''")).collect::<Vec<_>>().join(" "));
    for body in [bomb, "<r>", "<r></s>", "", "{}", "<r>&b;</r>", &"<r>".repeat(21_000)] {
        assert!(!matches("xml:/r", 200, body));
    }
    assert!(!matches("xml:/r/@a7999", 200, attributes));
    assert!(matches("xml:/r/@b='>", 200, "<r a='<' b=\"'>\"/>".replace('<', "&lt;").replacen("&lt;", "<", 1)));
    assert!(matches("xml:/r/r", 200, format!("<r>{}</r>", "<r/>".repeat(16_000))));
    let nested = format!("{}{}", "<r>".repeat(9_000), "</r>".repeat(9_000));
    let small_stack = std::thread::Builder::new().stack_size(256 * 1024);
    assert!(small_stack.spawn(move || matches("xml:/r/r/r", 200, nested)).unwrap().join().unwrap(), "nesting takes no stack");
}

#[test]
fn status_conditions() {
    let table = [
        ("200", 200, true),
        ("200", 201, false),
        ("200,204", 204, true),
        ("200, 204", 204, true),
        ("200 204", 204, true),
        ("2xx", 299, true),
        ("2XX", 300, false),
        ("200-204", 203, true),
        ("200-204,404", 404, true),
        ("5xx", 200, false),
    ];
    for (rule, status, expected) in table {
        assert_eq!(matches(&format!("status:{rule}"), status, ""), expected, "{rule} {status}");
    }
    assert!(ResponseRule::parse("OK\nstatus:404").unwrap().names_a_status());
    assert!(!ResponseRule::parse("OK").unwrap().names_a_status());
}

#[test]
fn faults_name_line_problem_and_remedy() {
    let table = [
        ("", "use null"),
        (" \n\t\n", "use null"),
        ("OK\nexact:", "line 2: nothing follows `exact:`"),
        ("contains:  ", "nothing follows `contains:`"),
        ("regex:(", "unclosed group"),
        ("regex:a{1000}{1000}{1000}", "too large"),
        ("regex:\\w{900}", "too large"),
        ("status:20", "`20` is not a status"),
        ("status:600", "`600`"),
        ("status:204-200", "`204-200`"),
        ("status:OK", "2xx"),
        ("status:,", "`,`"),
        ("xml:/", "element path"),
        ("xml:/a//b=1", "element path"),
        ("xml:@code=0", "element path"),
        ("xml:/a/b[1]=x", "element path"),
    ];
    for (rule, expected) in table {
        let error = ResponseRule::parse(rule).unwrap_err().to_string();
        assert!(error.contains(expected), "{rule:?}: {error}");
    }
    let nested = format!("regex:{}a{}", "(".repeat(500), ")".repeat(500));
    assert!(ResponseRule::parse(&nested).unwrap_err().to_string().starts_with("line 1"));
    assert!(matches!(
        ResponseRule::parse(&format!("regex:{}", "a".repeat(1025))),
        Err(ResponseRuleError::RegexTooLong { line: 1, bytes: 1025 })
    ));
    assert!(matches!(ResponseRule::parse(&"a".repeat(4097)), Err(ResponseRuleError::TooLong { bytes: 4097 })));
    assert!(matches!(ResponseRule::parse(&"a\n".repeat(17)), Err(ResponseRuleError::TooManyConditions { line: 17 })));
}

#[test]
fn a_rule_describes_itself() {
    let table = [
        ("OK\nstatus:2xx", "contains `OK` and status 2xx"),
        ("json:status=\"ok\"", "JSON `/status` is `ok`"),
        ("xml:/r/@code=0\nregex:^a", "XML `/r/@code` is `0` and fits the pattern `^a`"),
        ("exact:OK\nstatus:200,204", "is exactly `OK` and status 200, 204"),
    ];
    for (rule, expected) in table {
        assert_eq!(ResponseRule::parse(rule).unwrap().describe(), expected);
    }
    assert!(ResponseRule::parse(&"x".repeat(4000)).unwrap().describe().chars().count() < 80);
}

#[test]
fn f10_doubtful_rules_are_warned_about() {
    let table = [
        ("exact:OK\nexact:1", "can never both hold"),
        ("exact:OK\ncontains:DONE", "can never both hold"),
        ("status:2xx\nstatus:404", "can never both hold"),
        ("OK\nstatus:204", "can never both hold"),
        ("json:/a=1\njson:a=2", "can never both hold"),
        ("regex:.*", "every body"),
        ("regex:/OK/", "slashes"),
        ("status:302", "redirect"),
        ("Status:200", "did you mean `status:`"),
        ("regexp:OK", "did you mean `regex:`"),
    ];
    for (rule, expected) in table {
        let warnings = ResponseRule::parse(rule).unwrap().warnings().join("; ");
        assert!(warnings.contains(expected), "{rule:?}: {warnings}");
    }
    for rule in ["OK", "exact:OK\nOK", "status:2xx\nstatus:200", "json:/a=1\njson:/a=1.0", "regex:^$", "status:200,204\nOK", "http://x"] {
        assert_eq!(ResponseRule::parse(rule).unwrap().warnings(), Vec::<String>::new(), "{rule:?}");
    }
}
