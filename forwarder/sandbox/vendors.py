"""What a stack could say of the vendors that the sample alerts name."""

from __future__ import annotations

from typing import Final

_NAMES: Final = {
    "amd": "AMD",
    "connectwise": "ConnectWise",
    "curl": "curl",
    "f5": "F5",
    "gitlab": "GitLab",
    "golang": "Go",
    "jetbrains": "JetBrains",
    "jquery": "jQuery",
    "linux": "Linux kernel",
    "nginx": "NGINX",
    "openbsd": "OpenBSD",
    "openssh": "OpenSSH",
    "openssl": "OpenSSL",
    "php": "PHP",
    "polkit": "polkit",
    "sudo": "sudo",
    "tukaani": "Tukaani (XZ Utils)",
    "vmware": "VMware",
}
_CATEGORIES: Final = {
    "network": {"cisco", "citrix", "f5", "fortinet", "palo-alto-networks"},
    "developer tools": {"atlassian", "gitlab", "golang", "jenkins", "jetbrains", "php"},
    "operating systems": {"canonical", "linux", "microsoft", "openbsd", "red-hat"},
    "hardware": {"amd", "arm", "intel"},
    "web": {"apache", "drupal", "jquery", "lodash", "nginx", "spring"},
    "cryptography": {"openssh", "openssl"},
}


def name_of(key: str) -> str:
    """The vendor's name for people."""
    return _NAMES.get(key, key.replace("-", " ").title())


def category_of(key: str) -> str:
    """What kind of vendor it is."""
    return next((category for category, keys in _CATEGORIES.items() if key in keys), "software")
