"""Package metadata; tool settings live in pyproject.toml."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

INIT = Path(__file__).with_name("agad_tf").joinpath("__init__.py").read_text(encoding="utf-8")
BEAM_REQUIREMENTS = ["apache-beam[tfrecord]>=2.77,<3", "pyarrow>=16"]
DEMO_REQUIREMENTS = ["gradio>=6,<7"]
ONNX_REQUIREMENTS = ["onnx>=1.17", "onnxruntime>=1.20", "tf2onnx>=1.16.1"]
LITERT_REQUIREMENTS = ["ai-edge-litert>=2.1", "keras>=3.15; python_version >= '3.11'"]
TEST_REQUIREMENTS = [
    *(*BEAM_REQUIREMENTS, *DEMO_REQUIREMENTS, *ONNX_REQUIREMENTS, *LITERT_REQUIREMENTS),
    *("hypothesis>=6.100", "mypy>=1.15", "playwright>=1.49", "pytest>=8", "pytest-timeout>=2.3", "pytest-xdist>=3"),
]

FLAGFILES = Path("flags")


class BuildWithFlagfiles(build_py):
    """Puts the flagfiles beside the code, where the installed command finds them."""

    def run(self):
        """Builds, and then copies them."""
        super().run()
        if not self.editable_mode:
            shutil.copytree(FLAGFILES, Path(self.build_lib) / "agad_tf" / FLAGFILES, dirs_exist_ok=True)

    def get_source_files(self):
        """Names them to a source distribution."""
        return [*super().get_source_files(), *map(str, sorted(FLAGFILES.rglob("*.cfg")))]


setup(
    cmdclass={"build_py": BuildWithFlagfiles},
    name="agad_tf",
    version=re.search(r'^__version__ = "(.+)"', INIT, re.MULTILINE).group(1),
    description="AGAD: adversarial generative anomaly detection for images, in Keras 3 and TensorFlow",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["agad_tf", "agad_tf.*"]),
    package_data={"agad_tf": ["py.typed", "reporting/templates/*.html"]},
    python_requires=">=3.10,<3.14",
    install_requires=[
        "absl-py>=2.1",
        "filelock>=3.12",
        "importlib_resources>=6",  # imported, but not required, by tensorflow-datasets 4.9.10
        "jinja2>=3.1",
        "keras>=3.12,<4",
        "matplotlib>=3.10",
        "numpy>=1.26",
        "pandas>=2.2",
        "pillow>=10",
        "rich>=13",
        "scikit-learn>=1.7",
        "scipy>=1.15",
        "tabulate>=0.9",
        "tensorboard>=2.20,<3",
        "tensorflow>=2.20,<3",
        "tensorflow-datasets>=4.9.7",
        "tqdm>=4.66",
    ],
    extras_require={
        "beam": BEAM_REQUIREMENTS,
        "demo": DEMO_REQUIREMENTS,
        "litert": LITERT_REQUIREMENTS,
        "onnx": ONNX_REQUIREMENTS,
        "pyod": ["pyod>=2", "torch>=2"],
        "test": TEST_REQUIREMENTS,
        "dev": [*TEST_REQUIREMENTS, "pandas-stubs>=2.2", "ruff>=0.12"],
    },
    entry_points={"console_scripts": ["agad-tf = agad_tf.main:run"]},
)
