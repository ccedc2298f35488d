//! Files that are wrong as wholes, and secrets that are not where the configuration says, or are everybody's to read.

use super::{Broken, Case};

/// What stands in the place of a file.
pub enum Content {
    Bytes(Vec<u8>),
    Directory,
    Missing,
}

/// Name, content and mode of the files that the cases name.
pub const BESIDE: &[(&str, &[u8], u32)] = &[
    ("open", b"aHVudGVyMg==\n", 0o644),
    ("binary", b"\xff\xfe", 0o600),
    ("empty", b"\n", 0o600),
    ("words", b"hunter2 is no base64\n", 0o600),
    ("long", &[b'a'; 70_000], 0o600),
    ("damaged", b"-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n", 0o600),
];

#[rustfmt::skip]
pub const SECRETS: &[Case] = &[
    ("#   [tls.fallback]\n#   chain = \"/etc/tenantry/fallback.pem\"\n#   key = \"/etc/tenantry/fallback.key\"", "[tls.fallback]\nchain = «\"{dir}/nothing\"\nkey = \"{dir}/words\"", "tls.fallback.chain", "which cannot be read"),
    ("output = \"stderr\"", "output = «\"{dir}\"", "log.output", "is a directory"),
    ("#   access_output = \"/var/log/tenantry/access.log\"", "access_output = «\"{dir}/nowhere/access.log\"", "log.access_output", "is in no directory that there is"),
    ("\"sqlite:/var/lib/tenantry/tenantry.db\"", "«\"file:{dir}/nothing\"", "store.url", "which cannot be read: No such file"),
    ("\"sqlite:/var/lib/tenantry/tenantry.db\"", "«\"file:{dir}\"", "store.url", "which is no regular file"),
    ("\"sqlite:/var/lib/tenantry/tenantry.db\"", "«\"file:{dir}/open\"", "store.url", "(mode 0644); take that from them: chmod o="),
    ("\"sqlite:/var/lib/tenantry/tenantry.db\"", "«\"file:{dir}/words\"", "store.url", "it is not shown"),
    ("\"sqlite:/var/lib/tenantry/tenantry.db\"", "«\"file:{dir}/empty\"", "store.url", "it is not shown"),
    ("\"sqlite:/var/lib/tenantry/tenantry.db\"", "«\"credential:url\"", "store.url", "CREDENTIALS_DIRECTORY is not set"),
    ("\"sqlite:/var/lib/tenantry/tenantry.db\"", "«\"credential:../url\"", "store.url", "without a directory"),
    ("[acme.authority.limits]", "[acme.authority.eab]\nkey_id = \"k\"\nkey = «\"file:{dir}/open\"\n[acme.authority.limits]", "acme.authority[0].eab.key", "mode 0644"),
    ("[acme.authority.limits]", "[acme.authority.eab]\nkey_id = \"k\"\nkey = «\"file:{dir}/binary\"\n[acme.authority.limits]", "acme.authority[0].eab.key", "no UTF-8 text"),
    ("[acme.authority.limits]", "[acme.authority.eab]\nkey_id = \"k\"\nkey = «\"file:{dir}/long\"\n[acme.authority.limits]", "acme.authority[0].eab.key", "longer than 64 KiB"),
    ("[acme.authority.limits]", "[acme.authority.eab]\nkey_id = \"k\"\nkey = «\"file:{dir}/words\"\n[acme.authority.limits]", "acme.authority[0].eab.key", "it is not shown"),
    ("[acme.authority.limits]", "[acme.authority.eab]\nkey_id = \"k\"\nkey = «\"hunter2!\"\n[acme.authority.limits]", "acme.authority[0].eab.key", "it is not shown"),
    ("[acme.authority.limits]", "[acme.authority.eab]\nkey_id = \"k\"\nkey = «\"${EAB}\"\n[acme.authority.limits]", "acme.authority[0].eab.key", "the variable EAB is not set"),
    ("# How TXT records are set", "[acme.dns]\nprovider = \"rfc2136\"\nserver = \"192.0.2.53:53\"\nzone = \"example.com\"\nkey_name = \"k\"\nsecret = «\"file:{dir}/nothing\"\n# How TXT records are set", "acme.dns.secret", "which cannot be read"),
];

/// Of each file, what no patch of the shipped one can make.
pub fn whole() -> Vec<Broken> {
    let deep = |open: &str, close: &str| format!("a = {}{}", open.repeat(10_000), close.repeat(10_000)).into_bytes();
    let long = |length: usize| [b"# ".to_vec(), vec![b'a'; length], b"\n".to_vec()].concat();
    let text = |text: &str| Content::Bytes(text.as_bytes().to_vec());
    let cases = [
        ("tenantry", "it is missing", Content::Missing, "there is no such file"),
        ("routing", "it is missing", Content::Missing, "there is no such file"),
        ("plans", "it is missing", Content::Missing, "there is no such file"),
        ("tenantry", "it is a directory", Content::Directory, "no regular file"),
        ("routing", "it is a directory", Content::Directory, "no regular file"),
        ("tenantry", "it is not UTF-8", Content::Bytes(b"[brand]\nname = \"\xe4\"\n".to_vec()), "not UTF-8"),
        ("routing", "it is UTF-16", Content::Bytes(b"\xff\xfe[\0b\0".to_vec()), "not UTF-8"),
        ("plans", "it holds zeros", Content::Bytes(vec![0; 4096]), "this is not TOML"),
        ("tenantry", "10,000 arrays in arrays", Content::Bytes(deep("[", "]")), "this is not TOML"),
        ("routing", "10,000 tables in tables", Content::Bytes(deep("{a=", "}")), "this is not TOML"),
        ("plans", "10,000 arrays, none closed", Content::Bytes(deep("[", "")), "this is not TOML"),
        ("routing", "a key of 10,000 parts", Content::Bytes(("a.".repeat(10_000) + "a = 1").into_bytes()), ""),
        ("tenantry", "10 MB of comment", Content::Bytes(long(10_000_000)), "longer than 8 MiB"),
        ("tenantry", "lines that end as on a Mac", text("[brand]\rname = \"a\"\r"), "this is not TOML"),
        (
            "plans",
            "a mark of the byte order in its middle",
            text("default_plan = \"free\"\n\u{feff}[features]\n"),
            "this is not TOML",
        ),
        ("routing", "JSON", text("{\"pool\": []}"), "this is not TOML"),
        ("routing", "YAML", text("pool:\n  - name: app\n"), "this is not TOML"),
        (
            "plans",
            "a merge that was left half done",
            text("<<<<<<< HEAD\ndefault_plan = \"free\"\n=======\n"),
            "this is not TOML",
        ),
    ];
    let broken = |(file, what, content, fragment): (_, &str, _, _)| Broken {
        file,
        what: what.to_owned(),
        content,
        place: None,
        key: "",
        fragment,
    };
    cases.into_iter().map(broken).collect()
}
