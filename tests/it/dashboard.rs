//! The dashboard's files over HTTP: without a key, with the policy, and nothing but the files.

use super::server::Running;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_without_a_key_and_asked_for_again() {
    let running = Running::start().await;
    let mut client = running.client.clone();
    client.key.clear();
    let page = client.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.body.contains("Postrider"), "{}", page.body);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let etag = page.header("etag").unwrap().to_owned();
    let again = client.send("GET", "/", &[("If-None-Match", &etag)], b"").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let head = client.send("HEAD", "/", &[], b"").await;
    assert_eq!((head.status, head.body.as_str(), head.header("etag")), (200, "", Some(etag.as_str())));
    assert_eq!(client.send("POST", "/", &[], b"").await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_to_another_file() {
    let running = Running::start().await;
    for path in
        ["/index.html", "/assets/", "/assets/none.js", "/assets/..%2findex.html", "/assets/%2e%2e", "/assets/../../Cargo.toml", "/.env"]
    {
        let answer = running.client.get(path).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (404, Some("no_such_route")), "{path}");
    }
}
