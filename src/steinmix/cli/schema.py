"""The constructors of the methods as options: jsonargparse reads their signatures, so there is no second schema.

A configuration file is nothing but options in another spelling: it is turned into arguments that stand before those
of the command line, which therefore win.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any, get_args, get_type_hints

from ..errors import ConfigError, suggestion
from .parsing import one_line, refuse_unknown, written

__all__ = ["Schema", "method_names", "read_config", "taken"]

_NOT_FROM_CONFIG = {"config", "data", "print_config"}
_LISTS = {"exclude", "categories"}
"""Options that take names with commas between; in a file they may be a list."""

_WORDS = {"Sequence": "a list such as [500,500]", "NoneType": "null", "int": "a whole number", "float": "a number"}


def method_names() -> dict[str, type]:
    """Return the methods by their names on the command line.

    Examples
    --------
    >>> sorted(method_names())
    ['autoencoder', 'dagmm', 'depict', 'gaussian-mixture', 'gmvae', 'gmvae-cv', 'vade', 'vae']
    """
    from .. import methods

    return {_kebab(getattr(methods, name)): getattr(methods, name) for name in methods.__all__}


def _kebab(method: type) -> str:
    name, home = method.__name__, method.__module__.rpartition(".")[2]
    if home.replace("_", "") == name.lower():  # the file's name shows where GMVAECV is to be parted
        return home.replace("_", "-")
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "-", name).lower()


class Schema:
    """A jsonargparse parser for one method.

    Parameters
    ----------
    method : type
        An estimator; its signature is read.
    prog, description : str
    add_options : callable
        Adds the options that are not the method's own.
    """

    def __init__(self, method: type, prog: str, description: str, add_options: Callable[[Any], None]) -> None:
        self.method, self._classes = method, _named_classes()
        hidden = {"random_state"}  # there is --seed
        self.names = [name for name in inspect.signature(method).parameters if name not in hidden]
        self._parser = _new_parser(prog, description)
        add_options(self._parser)
        self._parser.add_class_arguments(method, skip=hidden, fail_untyped=False)

    def parse(self, argv: Sequence[str], settings: Mapping[str, Any]) -> Any:
        """Return the namespace of the options in `argv`, which win over the `settings` of a configuration file.

        Raises
        ------
        ConfigError
            If an option is unknown or a value is not of its type.
        """
        from argparse import ArgumentError

        try:
            return self._parser.parse_args(self._with_full_names([*self._arguments_of(settings), *argv]))
        except ArgumentError as error:
            self._refuse(str(error))

    def arguments(self, options: Any) -> dict[str, Any]:
        """Return the constructor's arguments, as objects.

        Raises
        ------
        ConfigError
            If an object cannot be made of its values.
        """
        chosen = self._instantiated(options)
        # Where text is allowed as well, jsonargparse leaves the name of a class as text.
        paths = {self._path(name): kind for name, kind in self._classes.items()}
        values = {name: chosen[name] for name in self.names}
        return {n: paths[v]() if isinstance(v, str) and v in paths else v for n, v in values.items()}

    def _instantiated(self, options: Any) -> Any:
        try:
            return self._parser.instantiate(options)
        except ValueError as error:  # jsonargparse hides what the object said in a report of its own
            own: BaseException | None = error
            while own is not None and not isinstance(own, ConfigError):
                own = own.__cause__
            raise (own or error) from None

    def dump(self, options: Any, extra: Mapping[str, Any]) -> str:
        """Return the method's options as the text of a configuration file, with `extra` before them."""
        import yaml

        text = self._parser.dump(options, skip_validation=True, skip_unset=False, format="json")
        short = {self._path(name): name for name in self._classes}
        every = {n: short.get(v, v) if isinstance(v, str) else _short(v) for n, v in json.loads(text).items()}
        return yaml.safe_dump({**extra, **{name: every[name] for name in self.names}}, sort_keys=False)

    def _arguments_of(self, settings: Mapping[str, Any]) -> list[str]:
        tokens = []
        for name, value in settings.items():
            action = self._parser._option_string_actions.get(f"--{name}")
            if action is not None and action.nargs == 0:
                if not isinstance(value, bool):  # "no" in quotes is text, and would count as true
                    raise ConfigError(f"--{name}: got {value!r}, expected true or false.")
                tokens += [f"--{name}"] if value else []
            else:
                value = written(value) if name in _LISTS and isinstance(value, list) else value
                tokens.append(f"--{name}={value if isinstance(value, str) else json.dumps(value)}")
        return tokens

    def _with_full_names(self, argv: Iterable[str]) -> list[str]:
        """Write NSVGD as the path that jsonargparse asks for, but only where the method's options have a value."""
        tokens, value_next = [], False
        for token in argv:
            option, equals, value = token.partition("=")
            root = option[2:].split(".")[0]
            if option.startswith("--"):
                value_next = root in self.names and not equals
                value = self._full_text(value) if root in self.names else value
                tokens.append(f"{option}{equals}{value}")
            else:
                tokens.append(self._full_text(token) if value_next else token)
                value_next = False
        return tokens

    def _full_text(self, text: str) -> str:
        if not text.startswith("{"):
            return self._path(text)
        try:
            return json.dumps(self._full(json.loads(text)))
        except ValueError:  # not JSON: jsonargparse will say what is wrong with it
            return text

    def _full(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._full(entry) for key, entry in value.items()}
        return self._path(value) if isinstance(value, str) else value

    def _path(self, name: str) -> str:
        known = self._classes.get(name)
        return f"{known.__module__}.{name}" if known else name

    def _refuse(self, message: str) -> None:
        """Raise ConfigError with the one thing that matters in jsonargparse's nested reports."""
        option = "--" + ".".join(re.findall(r'Parser key "([^"]+)"', message))
        given = re.search(r"(?:Given value|Got value): (.*)", message)
        foreign = re.search(r"Option '([^']+)' is not accepted", message)
        if foreign:
            known = {f.name for kind in self._classes.values() if is_dataclass(kind) for f in fields(kind)}
            raise ConfigError(f"unknown option {option}.{foreign[1]}{suggestion(foreign[1], known)}")
        if not given or option == "--":
            refuse_unknown(message, self._parser._option_string_actions)
        nested = re.match(r"NestedArg\(key='([^']+)', val='(.*)'\)", given[1])
        names = self._candidates(option[2:])
        if "is a protocol" in message and nested:
            raise ConfigError(f"{option}.{nested[1]} needs {option} with one of {', '.join(names)} before it.")
        got = nested[2] if nested else re.sub(r".*class_path'?[:=] ?'([^']+)'.*", r"\1", given[1])
        expected = f"one of {', '.join(names)}" if names else _expected(message[: given.start()])
        raise ConfigError(f"{option}: got {got}{suggestion(got, names) or ','} expected {expected}.")

    def _candidates(self, option: str) -> list[str]:
        """Return the names of the classes that an option may name."""
        root, _, key = option.rpartition(".")
        owners = self._classes.values() if root else [self.method]
        hints = [get_type_hints(owner.__init__).get(key) for owner in owners]
        return sorted({name for hint in hints for name in _accepted(hint, self._classes.values())})


def _expected(report: str) -> str:
    kinds = re.findall(r"Expected an? <(?:class|enum) '(?:[\w.]+\.)?(\w+)'>", report)
    words = list(dict.fromkeys(_WORDS.get(str(kind), str(kind)) for kind in kinds))
    return " or ".join(words) if words else one_line(report.rpartition("Expected")[2]) or "another value"


def _short(value: Any) -> Any:
    """Write the names of classes as one types them, without their modules."""
    if not isinstance(value, dict):
        return value
    return {k: v.rpartition(".")[2] if k == "class_path" else _short(v) for k, v in value.items()}


def _accepted(hint: Any, classes: Iterable[type]) -> list[str]:
    """Return the names of the classes that stand in `hint`, or have the methods of a protocol that stands there."""
    kinds = [kind for kind in (get_args(hint) or (hint,)) if isinstance(kind, type)]
    return [c.__name__ for c in classes if any(c is kind or _implements(c, kind) for kind in kinds)]


def _implements(kind: type, protocol: type) -> bool:
    if not getattr(protocol, "_is_protocol", False):
        return False
    asked = {n: f for n, f in vars(protocol).items() if inspect.isfunction(f) and (n == "__call__" or n[0] != "_")}
    return all(
        inspect.isfunction(getattr(kind, name, None))
        and list(inspect.signature(getattr(kind, name)).parameters) == list(inspect.signature(function).parameters)
        for name, function in asked.items()
    )


def _named_classes() -> dict[str, type]:
    """Return the classes that may be named as values of options: those of a saved file, but for callbacks."""
    from ..estimator.persistence import CONFIGURATIONS, configurations

    return configurations(name for name in CONFIGURATIONS if name != "training.callbacks")


def _new_parser(prog: str, description: str) -> Any:
    jsonargparse = _jsonargparse()
    from jsonargparse.typing import register_type
    from torch import Tensor, tensor

    # A tensor is a value here, or jsonargparse takes every protocol that returns one for a factory of tensors.
    register_type(Tensor, Tensor.tolist, tensor, fail_already_registered=False)
    # A value may name classes of this package only: a configuration file never makes other code run.
    jsonargparse.set_parsing_settings(import_path_allowlist=["steinmix"], instantiate_subclass_spec_in_any=False)

    class Parser(jsonargparse.ArgumentParser):
        """Makes the parsers of `--training.help` by itself, which are to bear the same name."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{"prog": prog} | kwargs)

    return Parser(
        description=description,
        exit_on_error=False,
        default_env=False,
        allow_abbrev=False,
        print_config=None,  # there is one of our own, that leaves out what is not the method's
    )


def taken(argv: Sequence[str], option: str) -> tuple[list[str], list[str]]:
    """Split `argv` into the other arguments and the values of `option`."""
    rest, values, tokens = [], [], iter(argv)
    for token in tokens:
        if token == option:
            values.append(next(tokens, ""))
        elif token.startswith(f"{option}="):
            values.append(token.partition("=")[2])
        else:
            rest.append(token)
    return rest, values


def read_config(path: str) -> dict[str, Any]:
    """Return the options in a YAML file by name.

    Raises
    ------
    ConfigError
        If the file cannot be read or is not a mapping of options to values.
    """
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            content = _jsonargparse().get_loader("yaml")(file.read())  # unlike PyYAML's it reads 1e-3 as a number
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or one_line(str(error))
        raise ConfigError(f"--config {path}: {reason}; expected a YAML file of options.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"--config {path} holds a {type(content).__name__}; expected lines such as n_clusters: 10.")
    settings = {str(key).replace("-", "_"): value for key, value in content.items()}
    for name in _NOT_FROM_CONFIG & settings.keys():
        raise ConfigError(f"--config {path} names {name!r}, which belongs on the command line.")
    return settings


def _jsonargparse() -> Any:
    try:
        return import_module("jsonargparse")
    except ImportError:
        raise ConfigError('steinmix fit needs jsonargparse; do: pip install "steinmix[cli]"') from None
