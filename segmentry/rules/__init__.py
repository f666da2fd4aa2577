"""What a segment means. Pure: text or builder form in, typed nodes or diagnostics out. Knows no engine and no clock.

    parse       parse_text(text) -> Syntax                  text form (sqlglot's stock parser; see tokens, arrange, lower)
    builder     parse_builder(mapping) -> Syntax            builder form
    rule        parse(rule) -> Rule                         either, as the value that `segmentry.parse` returns
    printer     to_text(syntax) -> str                      canonical text
    checker     check(syntax, schema) -> condition, warnings    names, types, literals: every problem at once
    ground      ground(condition, clock) -> condition       for one instant, timezone and week start
    references  in_order(conditions)                        segments after those they refer to
    certainties certainties(condition), certainties_at(...) what never or always holds, or changes nothing where it stands
    related     relations(segments, clock)                  what segments are to each other
    proofs      Prover(members).never(...), .implies(...)   what no contact can fulfil, without data; see proof_*
    facts       same_rules, compared_values, canonical      what needs no data, or is to be looked up in it
    manual      function_tables(), operator_table()         the tables of docs/rules.md

`schema`, `types`, `nodes` and `diagnostics` are the plain values that cross the border to the engine.
"""
