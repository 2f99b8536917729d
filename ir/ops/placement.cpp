#include "ir/ops/placement.h"

#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

constexpr Expansion itself{[](GraphBuilder&, const Node&, std::span<const NodeRef> inputs) {
  return inputs[0];
}};

Type infer_itself(const InferContext& c) { return c.type(0); }

RefArray ref_itself(std::span<const RefArray> args, const Attrs&) { return args[0]; }

std::vector<Sample> moved_samples() { return {{{{{2, 3}}}, DeviceAttrs{}}}; }
std::vector<Sample> moved_to_samples() { return {{{{{2, 3}}, {{4}}}}}; }

}  // namespace

namespace ops {

constinit const Op to_device{
    .name = "to_device",
    .doc = "x, moved to a device",
    .infer = infer_itself,
    .meaning = itself,
    .grad = [](const GradArgs& a) -> Exprs { return {apply(to_device_of, {a.g, a.x[0]})}; },
    .reference = {.general = ref_itself},
    .samples = {.make = moved_samples, .dtypes = Samples::all},
    .parse_attrs = attrs_from_fields<DeviceAttrs>,
};

constinit const Op to_device_of{
    .name = "to_device_of",
    .doc = "Operand 0, moved to where operand 1 lives",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_itself,
    .meaning = itself,
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(to_device_of, {a.g, a.x[0]}), Expr()};
    },
    .reference = {.general = ref_itself},
    .samples = {.make = moved_to_samples, .dtypes = Samples::all},
    .type_only = 0b10,
};

constexpr const Op* placement_rows[] = {&to_device, &to_device_of};

}  // namespace ops

Rows family::placement() { return ops::placement_rows; }

}  // namespace weft::ir
