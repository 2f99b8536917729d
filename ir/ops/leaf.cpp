// Leaves: placeholders and variables, and constants.
#include "ir/ops/rules.h"

namespace weft::ir::ops {

constinit const Op input{
    .name = "input",
    .doc = "A placeholder or a variable; its name is the node's label",
    .min_inputs = 0,
    .max_inputs = 0,
    .parse_attrs = attrs_from_fields<InputAttrs>,
    .has_identity = true,
};

constinit const Op constant{
    .name = "constant",
    .doc = "A value known when the graph is built",
    .min_inputs = 0,
    .max_inputs = 0,
    .infer = [](const InferContext& c) -> Type {
      const Literal& value = c.attrs.get<ConstantAttrs>().value;
      return {value.dtype(), to_dims(value.shape())};
    },
    .onnx = "Constant",
    .parse_attrs = attrs_from_fields<ConstantAttrs>,
};

constexpr const Op* leaf_rows[] = {&input, &constant};

}  // namespace weft::ir::ops

namespace weft::ir {

Rows family::leaf() { return ops::leaf_rows; }

}  // namespace weft::ir
