"""The bill of materials of a release, in CycloneDX's form: the wheel, what it holds, and what is required to run it."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from msflow_stream import __version__
from release.licences import uplot_version
from release.required import NOT_STATED, READ, WITH_TOOLS, Required, required

EXTRA = "msflow-stream:extra"  # the name of a property: an extra that leads to the component


def bill(wheel: Path, epoch: int) -> str:
    """Returns the bill of a wheel as JSON, the same for the same wheel and time.

    What is always required has the scope `required`; what an extra asks for `optional`, with its extras as properties.
    A licence is `declared` by the distribution's metadata, or `concluded` from its files.

    Args:
        wheel: the file, whose SHA-256 names it.
        epoch: time of the commit, in seconds since 1970.
    """
    to_run = {name: one for name, one in required().items() if one.to_run}
    components = {name: _distribution(one) for name, one in to_run.items()}
    digest = sha256(wheel.read_bytes()).hexdigest()
    own = _component("msflow-stream", __version__, "Apache-2.0", type=ComponentType.APPLICATION)
    own.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=digest))
    own.components.add(_component("uplot", uplot_version(), "MIT", registry="npm"))
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, digest), components=components.values())
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, UTC)
    bom.metadata.component = own
    bom.register_dependency(own, [components[name] for name in components if to_run[name].direct])
    for name, one in to_run.items():
        bom.register_dependency(components[name], [components[other] for other in one.requires & to_run.keys()])
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _distribution(one: Required) -> Component:
    needed = "" in one.extras
    component = _component(
        one.name,
        one.version,
        one.licence,
        scope=ComponentScope.REQUIRED if needed else ComponentScope.OPTIONAL,
        concluded=canonicalize_name(one.name) in READ,
    )
    if not needed:
        component.properties.update(Property(name=EXTRA, value=extra) for extra in one.extras - set(WITH_TOOLS))
    if one.home:
        component.external_references.add(ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(one.home)))
    return component


def _component(
    name: str,
    version: str,
    licence: str,
    *,
    registry: str = "pypi",
    type: ComponentType = ComponentType.LIBRARY,
    scope: ComponentScope | None = None,
    concluded: bool = False,
) -> Component:
    address = PackageURL(registry, name=canonicalize_name(name), version=version)
    known = LicenseAcknowledgement.CONCLUDED if concluded else LicenseAcknowledgement.DECLARED
    licences = LicenseFactory()
    return Component(
        name=name,
        version=version,
        type=type,
        scope=scope,
        purl=address,
        bom_ref=str(address),
        licenses=[] if licence == NOT_STATED else [licences.make_from_string(licence, license_acknowledgement=known)],
    )
