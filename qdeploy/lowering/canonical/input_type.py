"""Which integers a file's input is made of, where it is known.

Three places can tell: `--input`, which is kept in the file as a property of the model; the type of
the input itself (UINT8, …), which the canonical form makes float; and FINN's annotation of the
input (`finn_datatype`).
"""

from __future__ import annotations

from collections.abc import Iterator

from onnx import ModelProto, TensorProto

from qdeploy.errors import UserError
from qdeploy.ir.input_codes import RawType
from qdeploy.ir.raw_type import EXAMPLE, finn_raw_type, parse_raw_type, raw_type_text

_KEY = "qdeploy.input"
_TYPES = {
    TensorProto.UINT8: RawType(0, 255),
    TensorProto.INT8: RawType(-128, 127),
    TensorProto.UINT16: RawType(0, 65535),
    TensorProto.INT16: RawType(-32768, 32767),
}
_ANNOTATION = "finn_datatype"


def float_input(model: ModelProto) -> None:
    """Make an input of integers one of float32 numbers, in place; the model keeps what it was."""
    for item in model.graph.input:
        raw = _TYPES.get(item.type.tensor_type.elem_type)
        if raw is not None:
            item.type.tensor_type.elem_type = TensorProto.FLOAT
            if declared_type(model) is None:
                declare_type(model, raw)


def declare_type(model: ModelProto, raw: RawType) -> None:
    """Say, in place, which integers the input is made of.

    Raises:
        UserError: the file itself says otherwise.
    """
    for told in (_declared(model), *_annotated(model)):
        if told is not None and told != raw:
            raise UserError(
                f"the input cannot be {raw.name} with x = {raw.meaning}",
                why=f"the file says it is {told.name} with x = {told.meaning}",
                do="leave --input out",
            )
    if _declared(model) is None:
        entry = model.metadata_props.add()
        entry.key, entry.value = _KEY, raw_type_text(raw)


def declared_type(model: ModelProto) -> RawType | None:
    """The integers that the input is made of, None where nothing tells."""
    found = _declared(model)
    return found if found is not None else next(_annotated(model), None)


def option() -> str:
    """What a person can do about an input of an unknown type."""
    return f"say which integers it is made of, such as `--input {EXAMPLE}` for bytes / 255"


def _declared(model: ModelProto) -> RawType | None:
    for entry in model.metadata_props:
        if entry.key == _KEY:
            return parse_raw_type(entry.value)
    return None


def _annotated(model: ModelProto) -> Iterator[RawType]:
    names = {item.name for item in model.graph.input}
    for annotation in model.graph.quantization_annotation:
        if annotation.tensor_name in names:
            for entry in annotation.quant_parameter_tensor_names:
                found = finn_raw_type(entry.value) if entry.key == _ANNOTATION else None
                if found is not None:
                    yield found
