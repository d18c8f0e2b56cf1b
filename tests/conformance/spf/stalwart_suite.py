"""Reads the SPF cases of the mail-auth project: files of scenarios parted by "---", each with records by kind and tests."""

import ipaddress

import spf_suite as suite

FOLDER = suite.CORPORA / "spf" / "stalwart"
FAILING = ("_dns_error.org", "_dns_error.test.org")  # names whose server fails

# Where the suite wants something else than the RFC: our result and the reason.
DIFFERENCES = {
    "all: All test: 1": ("permerror", "\"ip\" is no mechanism, and a syntax error counts wherever it is: 4.6"),
    "basic: DNS Lookup Limits: 1": ("permerror", "more than two void lookups: 4.6.4"),
    "basic: DNS Lookup Limits: 6": ("permerror", "eleven mail hosts, of which the eighth would match: 4.6.4, not left to the order of answers"),
    "basic: HELO identity: 1": ("pass", "one evaluation checks one identity; which ones are checked is the filter's affair: 2.4"),
    "exists: Exists: 2": ("fail", "exists asks for A whatever the name has: 5.7"),
    "ip: IPv6 match: 4": ("fail", "an IPv4 client matches only ip4, not an IPv4-mapped ip6: 5"),
    "macro: Macro expansion 2: 2": ("fail", "exists asks for A also for IPv6 clients: 5.7"),
}


def mail_host(value, position):
    """The suite names mail hosts by address."""
    return f"mx{position}.{value.replace(':', '-')}.mail.invalid"


def records_of(kind, name, value):
    values = [part.strip() for part in value.split(",")]
    if kind in ("spf", "exp"):
        yield name, "TXT", suite.data_of("TXT", value)
    elif kind in ("a", "aaaa"):
        yield from ((name, kind.upper(), each) for each in values)
    elif kind == "ptr":
        yield from ((ipaddress.ip_address(name).reverse_pointer, "PTR", each) for each in values)
    elif kind == "mx":
        for position, each in enumerate(values):
            host = mail_host(each, position)
            yield name, "MX", f"{position + 1} {host}"
            yield host, "AAAA" if ":" in each else "A", each


def askable(name):
    return len(name) <= 253 and all(0 < len(label) <= 63 for label in name.split("."))


def records_list(known):
    found = [record for (kind, name), value in known.items() for record in records_of(kind, name, value)]
    return [record for record in found if askable(record[0])] + [(name, "*", "!TIMEOUT") for name in FAILING]


def scenario_cases(file_name, text):
    """A record replaces an earlier one of its kind and name; tests may change records between them."""
    title, helo, sender, client, known, records, found = "", "", "", "", {}, None, []
    for line in text.splitlines():
        kind, colon, value = line.strip().removeprefix("- ").partition(":")
        value = value.strip()
        if not colon or kind.startswith("#"):
            continue
        if kind == "name":
            title = value
        elif kind == "domain":
            helo = value
        elif kind == "sender":
            sender = value
        elif kind == "ip":
            client = value
        elif kind == "expect":
            records = records or records_list(known)
            key = f"{file_name}: {title}: {len(found) + 1}"
            result, _, explanation = value.partition(" ")
            results = [DIFFERENCES[key][0] if key in DIFFERENCES else result]
            found.append(suite.Case(f"{file_name}: {title}", str(len(found) + 1), records, helo, client, sender, results, explanation or None))
        elif value:
            name, _, data = value.partition(" ")
            known[kind, name] = data.strip()
            records = None
    return found


def cases():
    return [case for path in sorted(FOLDER.glob("*.yml")) for text in path.read_text().split("---\n") for case in scenario_cases(path.stem, text)]
