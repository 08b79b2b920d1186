//! Rules over random events of a shop, for tests under load.

/// Orders without a payment before them, and users with at least `looks` looks.
///
/// Events have a user and a kind: order (`a`), payment (`b`) or look (`c`).
pub fn shop_rules(looks: u32) -> String {
    format!(
        r#"
title: An order
id: a
name: a
logsource: {{product: shop}}
detection: {{selection: {{kind: a}}, condition: selection}}
level: informational
---
title: A payment
id: b
name: b
logsource: {{product: shop}}
detection: {{selection: {{kind: b}}, condition: selection}}
level: informational
---
title: A look
id: c
name: c
logsource: {{product: shop}}
detection: {{selection: {{kind: c}}, condition: selection}}
level: informational
---
title: An order without a payment before it
id: unpaid
correlation:
    type: temporal
    rules: [a, b]
    group-by: [user]
    timespan: 10s
    condition: a and not b
level: high
---
title: Many looks
id: many
correlation:
    type: event_count
    rules: [c]
    group-by: [user]
    timespan: 20s
    condition: {{gte: {looks}}}
level: low
"#
    )
}
