"""The packages of a wheel: `pipelines` and `configs` are installed below `msflow_stream`, the one name that it owns."""

from setuptools import find_packages, setup

JOBS = find_packages(include=["pipelines", "pipelines.*"])

setup(
    packages=[
        *find_packages(include=["msflow_stream", "msflow_stream.*"]),
        *(f"msflow_stream.{name}" for name in JOBS),
        "msflow_stream.configs",
    ],
    package_dir={"msflow_stream.pipelines": "pipelines", "msflow_stream.configs": "configs"},
)
