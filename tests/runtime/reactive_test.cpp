// The reactive engine by itself, with cells that evaluate graphs by the operations' references.
#include "runtime/reactive.h"

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <thread>

#include "failing_new.h"
#include "ir/builder.h"
#include "ir/ops/ops.h"

using namespace weft;
using ir::NodeRef;

namespace {

/// Evaluates a graph over float64 scalars.
struct NaiveCode final : ir::Executable {
  explicit NaiveCode(ir::Graph of) : graph(std::move(of)) { function = &run; }
  ir::Graph graph;

  static void run(const void* self, const ir::KernelArgs* args, std::int64_t, std::int64_t) {
    const ir::Graph& g = static_cast<const NaiveCode*>(self)->graph;
    std::map<const ir::Node*, double> values;
    std::size_t buffer = 0;
    for (const NodeRef& input : g.inputs())
      values[input.get()] = *static_cast<const double*>(args->buffers[buffer++]);
    for (const ir::Node* node : ir::topological_order(g)) {
      if (values.contains(node)) continue;
      if (node->inputs().empty())
        values[node] = node->attrs().get<ir::ConstantAttrs>().value.at(0);
      else if (node->inputs().size() == 1)
        values[node] = node->op().reference.unary(values[node->input(0).get()]);
      else
        values[node] =
            node->op().reference.binary(values[node->input(0).get()], values[node->input(1).get()]);
    }
    for (const NodeRef& output : g.outputs())
      *static_cast<double*>(args->buffers[buffer++]) = values[output.get()];
  }
};

/// Makes the whole cell one kernel of one item; counts what it was asked for.
struct NaiveCompiler final : runtime::CellCompiler, ir::KernelCompiler {
  std::shared_ptr<NaiveCode> code;
  int compiled = 0;

  std::shared_ptr<const runtime::Program> compile(const ir::Graph& graph,
                                                  std::span<const ir::Type> inputs, Device,
                                                  bool) override {
    ++compiled;
    std::map<const ir::Node*, NodeRef> copies;  // the graph's own nodes are not kept
    std::vector<NodeRef> in, out;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      in.push_back(copies[graph.inputs()[i].get()] = ir::make_input(inputs[i]));
    const auto stop = [&](const ir::Node& node) { return copies.contains(&node); };
    for (const ir::Node* node : ir::topological_order(graph.outputs(), stop)) {
      if (copies.contains(node)) continue;
      std::vector<NodeRef> operands;
      for (const NodeRef& input : node->inputs()) operands.push_back(copies.at(input.get()));
      copies[node] =
          &node->op() == &ir::ops::constant
              ? ir::make_constant(node->attrs().get<ir::ConstantAttrs>().value, node->type().weak)
              : ir::make_node(node->op(), operands, node->attrs(), node->where());
    }
    for (const NodeRef& output : graph.outputs()) out.push_back(copies.at(output.get()));

    ir::Plan plan;
    ir::KernelStep step;
    ir::Kernel kernel;
    kernel.axes = {Dim(1)};
    kernel.stages.resize(1);
    const auto add = [&](ir::Slot::Kind kind, std::size_t number) {
      ir::Slot slot;
      slot.kind = kind;
      slot.number = static_cast<int>(number);
      slot.dtype = DType::float64;
      step.slots.push_back(static_cast<int>(plan.slots.size()));
      plan.slots.push_back(slot);
    };
    for (std::size_t i = 0; i < in.size(); ++i) add(ir::Slot::Kind::input, i);
    for (std::size_t i = 0; i < out.size(); ++i) {
      plan.outputs.push_back(static_cast<int>(plan.slots.size()));
      add(ir::Slot::Kind::output, i);
    }
    plan.inputs.assign(inputs.begin(), inputs.end());
    plan.kernels.push_back(kernel);
    plan.steps.push_back({step, {}, "naive"});
    code = std::make_shared<NaiveCode>(ir::Graph(in, out));
    return std::make_shared<const runtime::HostProgram>(std::move(plan), *this);
  }
  std::vector<std::shared_ptr<const ir::Executable>> compile(
      std::span<const ir::Kernel* const>) override {
    return {code};
  }
  [[nodiscard]] std::string_view name() const override { return "naive"; }
};

NaiveCompiler& compiler() {
  static NaiveCompiler naive;
  runtime::set_cell_compiler(naive);
  return naive;
}

/// A user's handle.
struct Held {
  explicit Held(NodeRef n) : node(std::move(n)) {
    runtime::check_live_type(*node);
    node->add_handle();
  }
  ~Held() { node->drop_handle(); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  [[nodiscard]] double value() const { return runtime::value(node).item<double>(); }
  void set(double v, runtime::Push push = runtime::Push::held) {
    runtime::set_value({node, Array(v)}, push);
  }
  NodeRef node;
};

const ir::Type scalar{DType::float64, Dims{}};

NodeRef add(const NodeRef& a, const NodeRef& b) { return ir::make_node(ir::ops::add, {a, b}); }
NodeRef mul(const NodeRef& a, const NodeRef& b) { return ir::make_node(ir::ops::mul, {a, b}); }

}  // namespace

TEST_CASE("Cells are compiled once for a structure, and shared") {
  compiler();
  Held a(ir::make_input(scalar, "a")), b(ir::make_input(scalar, "b"));
  Held c(add(a.node, mul(b.node, b.node)));
  CHECK_FALSE(runtime::has_value(c.node));
  a.set(1);
  b.set(2);
  CHECK(c.value() == 5);
  const int before = compiler().compiled;
  for (int i = 0; i < 10; ++i) {
    a.set(i);
    CHECK(c.value() == i + 4);
  }
  Held d(add(b.node, mul(a.node, a.node)));  // the same structure elsewhere
  CHECK(d.value() == 2 + 81);
  CHECK(compiler().compiled == before);
}

TEST_CASE("Only held tensors keep values; unheld ones are computed inside cells") {
  compiler();
  const std::int64_t before = runtime::live_buffers();
  {
    Held a(ir::make_input(scalar, "a"));
    a.set(3);
    NodeRef chain = a.node;
    for (int i = 0; i < 50; ++i) chain = add(chain, a.node);
    Held end(chain);
    CHECK(end.value() == 153);
    CHECK(runtime::live_buffers() == before + 2);
  }
  CHECK(runtime::live_buffers() == before);
}

TEST_CASE("A lease takes the array out, others wait, a commit makes dependents stale") {
  compiler();
  Held w(ir::make_input(scalar, "w")), v(ir::make_input(scalar, "v"));
  w.set(1);
  v.set(10);
  Held twice(add(w.node, w.node)), sum(add(w.node, v.node));
  CHECK(twice.value() == 2);
  double seen = 0;
  const auto token = runtime::watch(sum.node, [&](const Array& x) { seen = x.item<double>(); });
  {
    const NodeRef variables[] = {w.node}, reads[] = {v.node, twice.node};
    runtime::Lease lease(variables, reads);
    CHECK(lease.reads()[0].item<double>() == 10);
    CHECK(lease.reads()[1].item<double>() == 2);
    CHECK(lease.value(0).buffer().writable());
    CHECK_THROWS_AS((void)runtime::value(w.node),
                    Error);  // of the same thread: it would wait for itself
    std::atomic<bool> done = false;
    std::thread other([&] {
      CHECK(twice.value() == 2);  // needs nothing of w
      w.set(0.5, runtime::Push::none);
      done = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK_FALSE(done);
    lease.commit({Array(7.0)});
    CHECK(seen == 17);
    other.join();
  }
  CHECK(w.value() == 0.5);
  CHECK(twice.value() == 1);
  { const runtime::Lease unchanged(std::span(&w.node, 1)); }
  CHECK(w.value() == 0.5);
}

TEST_CASE(
    "Leases under failing allocations: all of a commit or nothing, and no one waits for good") {
  compiler();
  int failures = 0;
  for (int n = 1; n < 200; ++n) {
    Held w(ir::make_input(scalar, "w"));
    w.set(1);
    Held twice(add(w.node, w.node)), next(add(twice.node, w.node));
    CHECK(next.value() == 3);
    int heard = 0;
    const auto token = runtime::watch(w.node, [&](const Array&) { ++heard; });
    bool committed = false, threw = false;
    std::vector<Array> values{Array(5.0)};
    test::fail_new(n);
    try {
      runtime::Lease lease(std::span(&w.node, 1));
      committed = true;  // from here on nothing that is needed fails
      lease.commit(std::move(values));
    } catch (const std::bad_alloc&) { threw = true; }
    const bool reached = test::until_failing_new() == 0;
    test::fail_new(0);
    failures += threw ? 1 : 0;
    CHECK(w.value() == (committed ? 5 : 1));
    CHECK(twice.value() == (committed ? 10 : 2));
    CHECK(next.value() == (committed ? 15 : 3));
    if (!threw) CHECK(heard == 1);
    w.set(2);  // its turn has ended
    CHECK(next.value() == 6);
    if (!reached) break;
  }
  CHECK(failures > 3);
}

TEST_CASE("Threads that take turns on variables in any order do not block each other for good") {
  compiler();
  Held a(ir::make_input(scalar, "a")), b(ir::make_input(scalar, "b"));
  a.set(0);
  b.set(0);
  Held sum(add(a.node, b.node));
  const auto work = [&](std::vector<NodeRef> variables) {
    for (int i = 0; i < 500; ++i) {
      runtime::Lease lease(variables);
      std::vector<Array> next;
      for (std::size_t k = 0; k < variables.size(); ++k)
        next.emplace_back(lease.value(k).item<double>() + 1);
      lease.commit(std::move(next));
    }
  };
  std::thread one(work, std::vector{a.node, b.node}), two(work, std::vector{b.node, a.node}),
      three(work, std::vector{b.node});
  for (int i = 0; i < 100; ++i) CHECK(sum.value() >= 0);
  one.join();
  two.join();
  three.join();
  CHECK(a.value() == 1000);
  CHECK(b.value() == 1500);
  CHECK(sum.value() == 2500);
}

TEST_CASE("Marks are wiped by the update that reaches them") {
  compiler();
  Held a(ir::make_input(scalar, "a")), b(ir::make_input(scalar, "b"));
  a.set(1);
  b.set(1);
  Held c(add(a.node, a.node)), d(add(b.node, b.node));
  const ir::Node* nodes[] = {c.node.get(), d.node.get()};
  runtime::set_marks(nodes);
  a.set(1);  // to the same: set all the same
  CHECK(runtime::find_marked(nodes) == d.node.get());
  b.set(2);
  CHECK(runtime::find_marked(nodes) == nullptr);
}

TEST_CASE("Parts of arrays by basic indices") {
  using Kind = runtime::BasicIndex::Kind;
  const Array x = Array{{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10, 11}};
  const auto list = [&](const runtime::BasicIndices& i) {
    return runtime::part_view(x, i, {}).tolist<int>();
  };
  CHECK(list({{.kind = Kind::integer, .integer = -1}}) == std::vector{8, 9, 10, 11});
  CHECK(list({{.kind = Kind::ellipsis}, {.kind = Kind::integer, .integer = 1}}) ==
        std::vector{1, 5, 9});
  CHECK(list({{.start = 1, .stop = -1}, {.step = -2}}) == std::vector{7, 5});
  CHECK(list({{.start = 5}}).empty());
  CHECK(runtime::part_view(x, {{.kind = Kind::newaxis}, {.stop = 2}}, {}).shape() ==
        Shape{1, 2, 4});
  CHECK_THROWS_AS(list({{.kind = Kind::integer, .integer = 3}}), IndexError);
  CHECK_THROWS_AS(list({{.step = 0}}), IndexError);
  CHECK_THROWS_AS(list({{}, {}, {}}), IndexError);
}
