"""What can be ordered: a part of what DigitalOcean offers, at its list prices."""

from dataclasses import dataclass
from typing import Any

REGIONS = {
    "ams3": "Amsterdam 3",
    "blr1": "Bangalore 1",
    "fra1": "Frankfurt 1",
    "lon1": "London 1",
    "nyc1": "New York 1",
    "nyc3": "New York 3",
    "sfo3": "San Francisco 3",
    "sgp1": "Singapore 1",
    "syd1": "Sydney 1",
    "tor1": "Toronto 1",
}
FEATURES = ["backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"]
IMAGES = {
    "debian-12-x64": (150_000_001, "Debian", "12 x64"),
    "ubuntu-22-04-x64": (150_000_002, "Ubuntu", "22.04 (LTS) x64"),
    "ubuntu-24-04-x64": (150_000_003, "Ubuntu", "24.04 (LTS) x64"),
}


@dataclass(frozen=True, slots=True)
class Size:
    """Memory in MiB, disk in GiB, transfer in TiB, prices in US dollars."""

    slug: str
    memory: int
    vcpus: int
    disk: int
    transfer: float
    price_monthly: float
    price_hourly: float


SIZES = {
    size.slug: size
    for size in (
        Size("s-1vcpu-512mb-10gb", 512, 1, 10, 0.5, 4, 0.00595),
        Size("s-1vcpu-1gb", 1024, 1, 25, 1, 6, 0.00893),
        Size("s-1vcpu-2gb", 2048, 1, 50, 2, 12, 0.01786),
        Size("s-2vcpu-2gb", 2048, 2, 60, 3, 18, 0.02679),
        Size("s-2vcpu-4gb", 4096, 2, 80, 4, 24, 0.03571),
        Size("s-4vcpu-8gb", 8192, 4, 160, 5, 48, 0.07143),
    )
}


def size_view(slug: str) -> dict[str, Any]:
    """Return a size as the API shows it."""
    size = SIZES[slug]
    return {
        "slug": slug,
        "memory": size.memory,
        "vcpus": size.vcpus,
        "disk": size.disk,
        "transfer": size.transfer,
        "price_monthly": size.price_monthly,
        "price_hourly": size.price_hourly,
        "regions": list(REGIONS),
        "available": True,
        "description": "Basic",
    }


def region_view(slug: str, *, full: bool) -> dict[str, Any]:
    """Return a region as the API shows it; a full one offers nothing."""
    return {
        "slug": slug,
        "name": REGIONS[slug],
        "features": FEATURES,
        "available": not full,
        "sizes": [] if full else list(SIZES),
    }


def image_view(slug: str) -> dict[str, Any]:
    """Return an image as the API shows it."""
    number, distribution, name = IMAGES[slug]
    return {
        "id": number,
        "name": name,
        "type": "base",
        "distribution": distribution,
        "slug": slug,
        "public": True,
        "regions": list(REGIONS),
        "created_at": "2024-05-01T00:00:00Z",
        "min_disk_size": 7,
        "size_gigabytes": 0.6,
        "tags": [],
        "status": "available",
    }
