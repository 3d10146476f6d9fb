"""Sample alerts about real, well-known vulnerabilities, in the API's shape and in words of this project.

CVSS scores are those of the National Vulnerability Database, KEV marks those of CISA's catalogue. EPSS scores move
daily: these are of the right size, not of any day.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from forwarder.sandbox.vendors import category_of, name_of

_SEVERITY_FROM: Final = (("critical", 9.0), ("high", 7.0), ("medium", 4.0), ("low", 0.0))
_KEV_CATALOGUE: Final = "https://www.cisa.gov/known-exploited-vulnerabilities-catalog"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sample:
    cve: str
    title: str
    text: str
    cvss: float
    epss: float
    vendors: tuple[str, ...]
    kev: bool = False


def sample_alerts(now: datetime, *, over: timedelta = timedelta(hours=2)) -> list[dict[str, Any]]:
    """All samples, oldest first, published evenly over the time before ``now``. Their ids are always the same."""
    step = over / len(_SAMPLES)
    start = now - over
    return [_alert(sample, start + step * (index + 1)) for index, sample in enumerate(_SAMPLES)]


def sample_vendors() -> dict[str, tuple[str, str]]:
    """The vendors that the samples name: name and category by key."""
    return {key: (name_of(key), category_of(key)) for sample in _SAMPLES for key in sorted(sample.vendors)}


def _alert(sample: _Sample, published_at: datetime) -> dict[str, Any]:
    url = f"https://nvd.nist.gov/vuln/detail/{sample.cve}"
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, url)),
        "cve_id": sample.cve,
        "title": sample.title,
        "description": sample.text,
        "severity": next(name for name, score in _SEVERITY_FROM if sample.cvss >= score),
        "cvss_score": sample.cvss,
        "epss_score": sample.epss,
        "published_at": published_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "source_urls": [url, *([_KEV_CATALOGUE] if sample.kev else [])],
        "affected_vendors": list(sample.vendors),
        "cisa_kev": sample.kev,
        "alert_type": "cve",
    }


_SAMPLES: Final = (
    _Sample(
        cve="CVE-2023-48795",
        title="Terrapin: an SSH session can be stripped of its extensions",
        text="Someone between client and server can drop the first messages after the key exchange unnoticed, and so "
        "switch off extensions such as the defence against keystroke timing. Both ends need strict key "
        "exchange.",
        cvss=5.9,
        epss=0.6,
        vendors=("openssh", "openbsd"),
    ),
    _Sample(
        cve="CVE-2021-44228",
        title="Log4Shell: a logged string makes Apache Log4j 2 run remote code",
        text="Log4j 2 looks up JNDI expressions inside the messages that it logs. Any text that an attacker gets "
        "into a log, such as a user agent, can load and run code from a server of theirs.",
        cvss=10.0,
        epss=0.94,
        vendors=("apache",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2014-0160",
        title="Heartbleed: OpenSSL leaks memory to anyone who asks",
        text="A heartbeat that claims a longer payload than it carries is answered with up to 64 KB of the server's "
        "memory: private keys, cookies and passwords among it. Certificates need to be replaced after the "
        "update.",
        cvss=7.5,
        epss=0.94,
        vendors=("openssl",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2020-11022",
        title="jQuery runs scripts from HTML that was sanitized",
        text="From 1.2 to before 3.5.0, HTML that went through a sanitizer could still execute when it was handed to "
        "jQuery's methods for manipulating the page, such as .html() and .append().",
        cvss=6.1,
        epss=0.2,
        vendors=("jquery",),
    ),
    _Sample(
        cve="CVE-2023-34362",
        title="MOVEit Transfer: SQL injection opens the file store without a login",
        text="The web application of MOVEit Transfer lets an unauthenticated attacker reach its database, install a "
        "web shell and take the transferred files. It was exploited at scale for extortion before a fix "
        "existed.",
        cvss=9.8,
        epss=0.94,
        vendors=("progress",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2024-3094",
        title="xz Utils 5.6.0 and 5.6.1 carry a backdoor",
        text="The release archives of liblzma contain code that the repository does not. Where sshd loads the "
        "library by way of systemd, the holder of a certain key can run commands before logging in. Go back to "
        "5.4.",
        cvss=10.0,
        epss=0.86,
        vendors=("tukaani", "red-hat"),
    ),
    _Sample(
        cve="CVE-2014-3566",
        title="POODLE: SSL 3.0 gives away cookies byte by byte",
        text="SSL 3.0 does not check its CBC padding. An attacker who can make a browser fall back to it, and send "
        "many requests, recovers parts of the plain text. Switch SSL 3.0 off.",
        cvss=3.4,
        epss=0.94,
        vendors=("openssl", "microsoft"),
    ),
    _Sample(
        cve="CVE-2024-3400",
        title="PAN-OS GlobalProtect: commands as root without a login",
        text="A session id with path characters creates a file whose name a later job hands to a shell. Firewalls "
        "with a GlobalProtect gateway or portal can be taken over from the internet.",
        cvss=10.0,
        epss=0.94,
        vendors=("palo-alto-networks",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2023-44487",
        title="HTTP/2 Rapid Reset: cheap requests exhaust servers",
        text="A client that opens streams and resets them at once keeps a server busy without meeting the limit on "
        "open streams. It drove the largest denial-of-service attacks known at its time.",
        cvss=7.5,
        epss=0.94,
        vendors=("nginx", "apache", "golang", "microsoft"),
        kev=True,
    ),
    _Sample(
        cve="CVE-2017-5754",
        title="Meltdown: programs read the kernel's memory",
        text="Speculative execution on affected processors goes ahead of the permission check, and leaves traces of "
        "kernel memory in the cache, where an ordinary process can measure them.",
        cvss=5.6,
        epss=0.9,
        vendors=("intel",),
    ),
    _Sample(
        cve="CVE-2023-4966",
        title="Citrix Bleed: NetScaler hands out session tokens",
        text="An over-long host header makes NetScaler ADC and Gateway answer with memory past a buffer. It holds "
        "tokens of live sessions, which work past multi-factor login. End all sessions after the update.",
        cvss=7.5,
        epss=0.94,
        vendors=("citrix",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2022-22965",
        title="Spring4Shell: data binding reaches the class loader",
        text="On Java 9 and later, request parameters can reach the class loader of a Spring MVC application that is "
        "deployed as a WAR on Tomcat, and so write a web shell.",
        cvss=9.8,
        epss=0.94,
        vendors=("vmware", "spring"),
        kev=True,
    ),
    _Sample(
        cve="CVE-2021-3156",
        title="Baron Samedit: any local user becomes root through sudo",
        text="sudoedit miscounts a backslash at the end of an argument and writes past a heap buffer. It works "
        "without a password and without an entry in sudoers.",
        cvss=7.8,
        epss=0.92,
        vendors=("sudo", "red-hat", "canonical"),
        kev=True,
    ),
    _Sample(
        cve="CVE-2019-11358",
        title="jQuery.extend lets foreign JSON change every object",
        text="Before 3.4.0, a deep copy of an object with a __proto__ property changes Object.prototype for the "
        "whole page. What follows depends on the application.",
        cvss=6.1,
        epss=0.02,
        vendors=("jquery", "drupal"),
    ),
    _Sample(
        cve="CVE-2022-26134",
        title="Confluence Server and Data Center evaluate OGNL from the address",
        text="An expression in the request path is evaluated before any login, which runs commands as the Confluence "
        "user. Exploitation was seen before the fix came out.",
        cvss=9.8,
        epss=0.94,
        vendors=("atlassian",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2024-6387",
        title="regreSSHion: a race in sshd's signal handler",
        text="When a login times out, sshd on glibc systems calls functions that are not safe in a signal handler. "
        "With many attempts an attacker may win the race and run code as root, before logging in.",
        cvss=8.1,
        epss=0.5,
        vendors=("openbsd", "openssh"),
    ),
    _Sample(
        cve="CVE-2015-4000",
        title="Logjam: TLS can be forced to export-grade Diffie-Hellman",
        text="Where a server still offers DHE_EXPORT, someone in between can bring the connection down to 512-bit "
        "keys and read it. Switch the export cipher suites off and use groups of 2048 bits.",
        cvss=3.7,
        epss=0.94,
        vendors=("openssl", "mozilla"),
    ),
    _Sample(
        cve="CVE-2021-22205",
        title="GitLab runs commands from uploaded images",
        text="GitLab hands uploaded images to ExifTool without checking what they are. A crafted DjVu file runs "
        "commands on the server, and the upload needs no account.",
        cvss=10.0,
        epss=0.94,
        vendors=("gitlab",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2022-0847",
        title="Dirty Pipe: Linux lets anyone write to read-only files",
        text="An uninitialized flag of a pipe buffer lets an unprivileged process overwrite the page cache of files "
        "that it may only read, such as /etc/passwd or a set-uid program. Kernels from 5.8 are concerned.",
        cvss=7.8,
        epss=0.8,
        vendors=("linux",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2020-28500",
        title="lodash: trimming long strings takes very long",
        text="toNumber, trim and trimEnd use a regular expression that backtracks badly on long runs of spaces. A "
        "text from outside can hold up a Node.js process. Fixed in 4.17.21.",
        cvss=5.3,
        epss=0.003,
        vendors=("lodash",),
    ),
    _Sample(
        cve="CVE-2022-1388",
        title="F5 BIG-IP: iControl REST skips its login",
        text="Requests to the management interface with certain connection headers are taken as already "
        "authenticated, and may run commands as root.",
        cvss=9.8,
        epss=0.94,
        vendors=("f5",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2023-38545",
        title="curl: a long host name overflows a buffer in the SOCKS5 handshake",
        text="When curl lets a SOCKS5 proxy resolve names and the handshake is slow, it forgets that a name is too "
        "long and copies it into a heap buffer. A redirect to such a name is enough. Fixed in 8.4.0.",
        cvss=9.8,
        epss=0.2,
        vendors=("curl",),
    ),
    _Sample(
        cve="CVE-2021-4034",
        title="PwnKit: pkexec makes any local user root",
        text="pkexec reads past an empty argument list and takes an environment variable for its program. The flaw "
        "is in every version since 2009, in the default install of most Linux distributions.",
        cvss=7.8,
        epss=0.88,
        vendors=("polkit", "red-hat", "canonical"),
        kev=True,
    ),
    _Sample(
        cve="CVE-2017-5753",
        title="Spectre, variant 1: bounds checks are speculated past",
        text="A processor runs ahead of a bounds check that it predicts to pass, and leaves traces of what it read "
        "in the cache. Programs that run foreign code, browsers above all, need mitigations of their own.",
        cvss=5.6,
        epss=0.94,
        vendors=("intel", "amd", "arm"),
    ),
    _Sample(
        cve="CVE-2023-20198",
        title="Cisco IOS XE: the web interface creates administrators for anyone",
        text="An unauthenticated request to the web interface can create a local account of the highest privilege. "
        "Tens of thousands of devices were taken over with it. Keep the HTTP server off the internet.",
        cvss=10.0,
        epss=0.94,
        vendors=("cisco",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2024-21762",
        title="FortiOS SSL VPN writes out of bounds before the login",
        text="Crafted HTTP requests to the SSL VPN write past a buffer and can run code. Where no update is "
        "possible, the SSL VPN has to be switched off; without web mode is not enough.",
        cvss=9.8,
        epss=0.92,
        vendors=("fortinet",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2022-3602",
        title="OpenSSL 3.0: four bytes past a buffer in a certificate's e-mail address",
        text="Checking the name constraints of a certificate overflows the stack by four bytes that the attacker "
        "chooses, after the chain was verified. A crash is likely, code execution hard. Fixed in 3.0.7.",
        cvss=7.5,
        epss=0.85,
        vendors=("openssl",),
    ),
    _Sample(
        cve="CVE-2018-7600",
        title="Drupalgeddon 2: forms of Drupal run code from a request",
        text="Drupal's form API takes render instructions from request parameters. One request without a login runs "
        "PHP on the server, in 6, 7 and 8.",
        cvss=9.8,
        epss=0.94,
        vendors=("drupal",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2024-23897",
        title="Jenkins: the command line gives away the controller's files",
        text="An argument that begins with @ is replaced by the file of that name. Anyone who reaches the CLI reads "
        "the first lines of any file, secrets included, and can go on to run code.",
        cvss=9.8,
        epss=0.94,
        vendors=("jenkins",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2024-27198",
        title="TeamCity: a crafted path skips the login",
        text="The web component of TeamCity before 2023.11.4 serves any endpoint to a request whose path is twisted "
        "in a certain way. An attacker creates an administrator, and with it owns what the server builds.",
        cvss=9.8,
        epss=0.94,
        vendors=("jetbrains",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2024-4577",
        title="PHP on Windows: characters become arguments of php-cgi",
        text="In CGI mode, Windows may turn a soft hyphen of the query string into a dash, so that a request passes "
        "options to the interpreter and runs code. Systems with Chinese and Japanese locales are known to be "
        "open.",
        cvss=9.8,
        epss=0.94,
        vendors=("php",),
        kev=True,
    ),
    _Sample(
        cve="CVE-2024-1709",
        title="ScreenConnect: the set-up page works again after set-up",
        text="A path behind the set-up wizard's address reaches the wizard on a server that is set up already, and "
        "makes the visitor its administrator. Ransomware followed within days.",
        cvss=10.0,
        epss=0.94,
        vendors=("connectwise",),
        kev=True,
    ),
)
