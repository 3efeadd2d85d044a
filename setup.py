"""Packaging: ``plugins/`` and ``tools/`` are installed as ``pvbias.plugins`` and ``pvbias.tools``, the demo's
configurations as ``pvbias.quickstart``."""

from pathlib import Path

from setuptools import find_packages, setup

FOLDERS = {
    "pvbias": "pvbias",
    "pvbias.plugins": "plugins",
    "pvbias.tools": "tools",
    "pvbias.quickstart": "projects/quickstart",
}


def packages() -> list[str]:
    """The core's packages, then each mapped folder and what is below it."""
    found = []
    for package, folder in FOLDERS.items():
        found += [package] + [f"{package}.{inner}" for inner in find_packages(folder)]
    return found


setup(
    name="pvbias",
    version="0.1.0",
    description="How much an action recogniser leans on static appearance, and training ones that lean less",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    author="The pvbias authors",
    url="https://pypi.org/project/pvbias/",
    keywords="action recognition, video, representation bias, temporal modelling, PyTorchVideo, SlowFast",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=packages(),
    package_dir=FOLDERS,
    package_data={"pvbias": ["py.typed"], "pvbias.quickstart": ["*.yaml"], "": ["templates/*", "maps/*"]},
    install_requires=[
        "torch>=2.6",  # before, torch.load(weights_only=True) could be made to run code (CVE-2025-32434)
        "torchvision>=0.21",
        "pytorchvideo>=0.1.5",
        "fvcore>=0.1.5.post20221221",
        "iopath>=0.1.10",
        "av>=17.1,<20",  # 17.0 can take its process down; each major one has taken arguments away so far
        "submitit>=1.5",
        "numpy>=1.26",
        "pillow>=10",
        "scikit-image>=0.22",
        "scikit-learn>=1.3",
        "scipy>=1.15.0",
        "jinja2>=3.1",
        "matplotlib>=3.8",
        "fsspec>=2024.2",
        "portalocker>=2.7",
        "safetensors>=0.4.3",
        "tensorboard>=2.15",
        "tqdm>=4.66",
    ],
    extras_require={
        "dev": [
            *(
                "pytest>=8",
                "pytest-xdist>=3.6.1",
                "setuptools>=77.0.3",
                "ruff>=0.8",
                "mypy>=1.13",
                "types-PyYAML",
                "build",
            ),
            "opencv-python-headless>=4.8.0.76",
            "transformers>=4.53",
            "fsspec[http]>=2024.2",
        ],
        "s3": ["s3fs>=2024.2"],
        "gs": ["gcsfs>=2024.2"],
        "hf": ["huggingface_hub>=0.30"],
        "http": ["fsspec[http]>=2024.2"],
        "docs": ["sphinx>=7.2", "myst-parser>=2", "furo>=2023.9.10"],
        "flow": ["opencv-python-headless>=4.8.0.76"],
        "transformers": ["transformers>=4.53"],
        "benchmark": ["torchcodec", "decord"],
    },
    entry_points={
        "console_scripts": ["pvbias = pvbias.tools.main:main"],
        # The built-in plugins are announced exactly as those of any other installed package.
        "pvbias.plugins": [
            "pytorchvideo_zoo = pvbias.plugins.pytorchvideo_zoo",
            "torchvision_zoo = pvbias.plugins.torchvision_zoo",
            "attention_time = pvbias.plugins.attention_time",
            "attribution = pvbias.plugins.attribution",
            "bias_metrics = pvbias.plugins.bias_metrics",
            "classic_models = pvbias.plugins.classic_models",
            "datasets = pvbias.plugins.datasets",
            "contrasted_videos = pvbias.plugins.contrasted_videos",
            "decoupled_videos = pvbias.plugins.decoupled_videos",
            "spatial_student = pvbias.plugins.spatial_student",
            "domain_adaptation = pvbias.plugins.domain_adaptation",
            "factor_units = pvbias.plugins.factor_units",
            "drl = pvbias.plugins.drl",
            "debias_baselines = pvbias.plugins.debias_baselines",
            "mixing = pvbias.plugins.mixing",
            "mmaction2_names = pvbias.plugins.mmaction2_names",
            "optical_flow = pvbias.plugins.optical_flow",
            "rev2net = pvbias.plugins.rev2net",
            "scene_bias = pvbias.plugins.scene_bias",
            "temporal_dependence = pvbias.plugins.temporal_dependence",
            "transformers_zoo = pvbias.plugins.transformers_zoo",
            "transfer = pvbias.plugins.transfer",
            "two_stream = pvbias.plugins.two_stream",
        ],
    },
)
