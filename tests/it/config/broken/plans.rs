//! What can be wrong in `plans.toml`.

use super::Case;

#[rustfmt::skip]
pub const PLANS: &[Case] = &[
    ("default_plan = \"free\"", "default_plan = «\"gratis\"", "default_plan", "there is no plan \"gratis\"; there are free, starter"),
    ("default_plan = \"free\"", "", "default_plan", "missing, expected the name of a plan"),
    ("upgrade_url = \"https://", "upgrade_url = «\"ftp://", "upgrade_url", "starts with https://"),
    ("csv_export = \"CSV export\"", "csv_export = \"CSV export\"\n«CSV = \"CSV\"", "features.CSV", "starts with a letter"),
    ("csv_export = \"CSV export\"", "«csv_export = 1", "features.csv_export", "found 1, expected a text"),
    ("\"catch_up_ai\", \"csv_export\", \"embed_sdk\"]", "«\"chatbot\"]", "plan[3].features[1]", "there is no feature \"chatbot\""),
    ("features = \"all\"", "features = «\"most\"", "plan[5].features", "a list of features, or \"all\""),
    ("name = \"starter\"", "name = «\"free\"", "plan[1].name", "a second plan of the name \"free\""),
    ("name = \"starter\"", "", "plan[1].name", "missing, expected the name of a plan"),
    ("audit_days = 90", "audit_days = «7", "plan[0].audit_days", "from 30 to 3650"),
    ("title = \"Starter\"", "title = «\"\"", "plan[1].title", "1 to 120 characters"),
    ("members = 250", "", "plan[1].members", "missing, expected a whole number of 0 or more, or \"unlimited\""),
    ("members = 250", "members = «-1", "plan[1].members", "found -1, expected a whole number"),
    ("members = 250", "members = «\"many\"", "plan[1].members", "found \"many\", expected a whole number"),
    ("#   [licence]\n", "[licence]\nfeatures = [«\"warp_drive\"]\n", "licence.features[0]", "there is no feature \"warp_drive\""),
    ("#   [licence]\n", "[licence]\n", "licence.features", "missing, expected the list of the features"),
    ("default_plan = \"free\"", "default_plan = «5", "default_plan", "found 5, expected the name of a plan"),
    ("csv_export = \"CSV export\"", "«csv_export = [\"CSV export\"]", "features.csv_export", "found an array, expected a text"),
    ("ai_tokens = 0", "ai_tokens = «1.5", "plan[0].ai_tokens", "found 1.5, expected a whole number"),
    ("ai_tokens = 0", "ai_tokens = «\"off\"", "plan[0].ai_tokens", "or \"unlimited\""),
    ("requests_per_second = 50", "requests_per_second = «-1", "plan[0].limits.requests_per_second", "from 0 to"),
    ("requests_per_second = 50\nburst = 100", "burst = «100", "plan[0].limits.burst", "expected requests_per_second beside it"),
    ("body_bytes = \"10MiB\"", "body_bytes = «\"10\"", "plan[0].limits.body_bytes", "expected a size"),
    ("websockets = 50", "«websocket = 50", "plan[0].limits.websocket", "did you mean `websockets`?"),
    ("features = [\"custom_domain\"]", "features = [\"custom_domain\", «\"custom_domain\"]", "plan[2].features[1]", "a second time"),
    ("features = [\"custom_domain\"]", "features = «true", "plan[2].features", "expected a list"),
    ("title = \"Starter\"", "title = \"Starter\"\n«price = 9", "plan[1].price", "unknown key `price`"),
    ("name = \"starter\"", "name = «\"Starter Plan\"", "plan[1].name", "the name of a plan"),
    ("upgrade_url = \"https://", "upgrade_url = \"${URL}", "upgrade_url", "the variable URL is not set"),
];
