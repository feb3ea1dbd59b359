from controller.providers.netlify.client import Netlify
from controller.providers.netlify.fingerprint import Fingerprints
from controller.providers.netlify.models import (
    Build,
    Context,
    Deploy,
    NewValue,
    NewVariable,
    Scope,
    Site,
    SiteRef,
    Value,
    Variable,
)

__all__ = [
    "Build",
    "Context",
    "Deploy",
    "Fingerprints",
    "Netlify",
    "NewValue",
    "NewVariable",
    "Scope",
    "Site",
    "SiteRef",
    "Value",
    "Variable",
]
