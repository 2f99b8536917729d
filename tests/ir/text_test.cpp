#include "ir/text.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "ir/builder.h"
#include "ir/ops/ops.h"
#include "ir/verify.h"

using namespace weft;
using namespace weft::ir;

namespace {

NodeRef f32(Dims shape, std::string label = {}) {
  return make_input({DType::float32, std::move(shape), false}, std::move(label));
}

template <class T> Literal literal(Shape shape, const std::vector<T>& values) {
  return Literal::copy(dtype_of<T>, std::move(shape), values.data());
}

std::string error_of(std::string_view text) {
  try {
    parse_graph(text);
  } catch (const ParseError& e) { return e.what(); }
  return "nothing thrown";
}

/// Reads back to the same structure and to the same text.
Graph round_trip(const Graph& g, const TextOptions& write = {}, const ParseOptions& read = {}) {
  const std::string text = to_text(g, write);
  INFO(text);
  Graph again = parse_graph(text, read);
  CHECK(structurally_equal(g, again));
  CHECK(to_text(again, write) == text);
  CHECK(again.name() == g.name());
  return again;
}

void value_round_trip(const AttrValue& v) {
  const std::string text = to_text(v);
  INFO(text);
  CHECK(equal(parse_attr_value(text), v));
}

Graph example() {
  const NodeRef x =
      make_input({DType::float32, Dims{dim("N"), 784}, false}, "x", {"src/model.cc", 12});
  const NodeRef t = make_input({}, "t");
  const NodeRef c = make_constant(literal<float>({2, 1}, {0.1f, -INFINITY}));
  const NodeRef half = make_constant(Literal::scalar(DType::float64, 0.5), true);
  const NodeRef y = make_node(ops::mul, {x, half}, {}, {"src/model.cc", 14}, "the \"scaled\" x");
  const NodeRef z =
      make_node(ops::cast, {make_node(ops::add, {y, t}, {}, {}, "x")}, CastAttrs{DType::float16});
  return Graph({x, t}, {z, c, x}, "step");
}

}  // namespace

TEST_CASE("the text of a graph") {
  CHECK(to_text(example()) == R"(weft 1
graph "step" (%x, %t) {
  %x = input : float32(N, 784) @ "src/model.cc":12
  %t = input : ?
  %2 = constant {value = float64() [0.5]} : float64()~
  %3 = mul(%x, %2) : float32(N, 784) "the \"scaled\" x" @ "src/model.cc":14
  %4 = add(%3, %t) : ? "x"
  %5 = cast(%4) {dtype = float16} : float16?
  %6 = constant {value = float32(2, 1) [0.1, -inf]} : float32(2, 1)
  return %5, %6, %x
}
)");
}

TEST_CASE("graphs read back") {
  const Graph g = round_trip(example());
  CHECK(g.inputs()[0]->label() == "x");
  CHECK(g.inputs()[0]->where().str() == "model.cc:12");
  CHECK(std::string(g.inputs()[0]->where().file) == "src/model.cc");
  const Node& sum = *g.outputs()[0]->input(0);
  CHECK(sum.label() == "x");
  CHECK(sum.input(0)->label() == "the \"scaled\" x");
  round_trip(Graph());
  round_trip(Graph({f32({1}, "unused")}, {}, "only \n inputs"));
  round_trip(Graph({}, {f32({1}, "free")}));
}

TEST_CASE("types and locations may be left out") {
  const Graph g = example();
  const std::string text = to_text(g, {.types = false, .locations = false});
  CHECK(text.find('@') == std::string::npos);
  CHECK(text.find("cast(%4) {dtype = float16}\n") != std::string::npos);
  CHECK(structurally_equal(parse_graph(text), g));
}

TEST_CASE("written by hand") {
  const Graph g = parse_graph(R"(
    # no version, odd layout
    graph "f"(%a,%b,){%a=input:float32(2 * N + 1,3)
      %b = input : float32(3)   # a comment
      %sum = add(%a, %b) %d = neg(%sum,) "named" return %d })");
  CHECK(g.outputs()[0]->label() == "named");
  CHECK(g.outputs()[0]->input(0)->label() == "sum");
  CHECK(g.outputs()[0]->type() == Type{DType::float32, Dims{dim("N") * 2 + 1, 3}, false});
}

TEST_CASE("attribute values read back") {
  for (const std::int64_t i : {std::int64_t{0}, std::int64_t{-1}, INT64_MIN, INT64_MAX})
    value_round_trip(i);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double d : {0.0, -0.0, 1.0, 0.1, -1e300, 5e-324, double(INFINITY), -double(INFINITY),
                         nan, -nan, std::bit_cast<double>(0x7ff0000000000001u)})
    value_round_trip(d);
  value_round_trip(true);
  value_round_trip(std::string("a\"\\\n\t\x01 \x7f é"));
  value_round_trip(std::string("zero\0inside", 11));
  value_round_trip(std::vector<std::int64_t>{});
  value_round_trip(std::vector<std::int64_t>{-3, 0, 7});
  value_round_trip(std::vector<double>{});
  value_round_trip(std::vector<double>{1, nan, -0.0});
  value_round_trip(Dims{});
  value_round_trip(Dims{dim("N"), -1, floordiv(dim("N") + 3, dim("layer.M")), max(dim("A"), 2)});
  value_round_trip(DType::complex64);
  value_round_trip(Literal());
  value_round_trip(GraphPtr());
  value_round_trip(HostObject{"my callback", nullptr});
  value_round_trip(std::make_shared<const Graph>(example()));
  CHECK(std::get<double>(parse_attr_value("-0x1.8p-3")) == -0.1875);
  CHECK(to_text(AttrValue(1.0)) == "1.0");
}

TEST_CASE("every bit of a literal survives") {
  std::mt19937_64 random(7);
  for (int t = 0; t < dtype_count; ++t) {
    const auto dtype = static_cast<DType>(t);
    for (const Shape& shape : {Shape{}, Shape{0}, Shape{3, 5}, Shape{1, 67}, Shape{200}}) {
      std::vector<std::uint64_t> bits(2 * static_cast<std::size_t>(element_count(shape)) + 1);
      for (std::uint64_t& b : bits)
        b = random() & (dtype == DType::boolean ? 0x0101010101010101u : ~0ull);
      value_round_trip(Literal::copy(dtype, shape, bits.data()));
    }
    const std::vector<std::byte> odd(
        64, std::byte{0xff});  // every NaN bit; a boolean that is neither 0 nor 1
    value_round_trip(Literal::copy(dtype, {2}, odd.data()));
    value_round_trip(Literal::scalar(dtype, 1.5));
  }
  for (std::uint32_t bits = 0; bits < 0x10000; bits += 7) {
    const std::uint16_t half = static_cast<std::uint16_t>(bits);
    value_round_trip(Literal::copy(DType::float16, {}, &half));
    value_round_trip(Literal::copy(DType::bfloat16, {}, &half));
  }
}

TEST_CASE("large literals are splats, blobs or stored") {
  const Literal splat = literal<float>({100, 2}, std::vector<float>(200, -0.0f));
  CHECK(to_text(AttrValue(splat)) == "float32(100, 2) splat -0");
  value_round_trip(splat);
  std::vector<std::int64_t> values(100);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int64_t>(i * i);
  const Literal squares = literal<std::int64_t>({100}, values);
  CHECK(to_text(AttrValue(squares)).starts_with("int64(100,) base64 \"AAAAAAAAAAABAAAAAAAAAAQ"));
  value_round_trip(squares);

  std::map<std::string, Literal, std::less<>> store;
  TextOptions write;
  write.store_literal = [&](const Literal& l) {
    store["w" + std::to_string(store.size())] = l;
    return "w" + std::to_string(store.size() - 1);
  };
  const Graph g({}, {make_constant(squares)});
  const std::string text = to_text(g, write);
  CHECK(text.find("int64(100,) stored \"w0\"") != std::string::npos);
  ParseOptions read;
  read.load_literal = [&](std::string_view name) { return store.find(name)->second; };
  CHECK(structurally_equal(parse_graph(text, read), g));
  CHECK_THROWS_AS(parse_graph(text), ParseError);
  read.load_literal = [&](std::string_view) { return splat; };
  CHECK_THROWS_AS(parse_graph(text, read), ParseError);
}

TEST_CASE("errors know their line and column") {
  const auto body = [](std::string_view line) {
    return error_of("graph \"g\" (%x) {\n  %x = input : float32(2, 3)\n  " + std::string(line) +
                    "\n  return %x\n}");
  };
  CHECK(error_of("") == "weft, line 1, column 1: expected 'graph', found the end");
  CHECK(error_of("weft 2 graph") ==
        "weft, line 1, column 6: only version 1 of the text form is known");
  CHECK(body("%y = ad(%x, %x)") == "weft, line 3, column 8: unknown operation 'ad'");
  CHECK(body("%y = add(%x)") == "weft, line 3, column 8: add takes 2 operands, not 1");
  CHECK(body("%y = neg(%z)") == "weft, line 3, column 12: there is no value %z so far");
  CHECK(body("%x = neg(%x)") == "weft, line 3, column 3: there is a value %x already");
  CHECK(body("%y = neg(%x) : float32(2, 4)") ==
        "weft, line 3, column 18: declared as float32(2, 4), but it is float32(2, 3)");
  CHECK(body("%y = neg(%x) : float99(2, 4)") == "weft, line 3, column 18: unknown dtype 'float99'");
  CHECK(body("%y = neg(%x) {a = 1}") == "weft, line 3, column 16: neg takes no attributes");
  CHECK(body("%y = cast(%x) {dtipe = int8}") ==
        "weft, line 3, column 18: cast has no attribute 'dtipe'");
  CHECK(body("%y = cast(%x) {dtype = int8, dtype = int8}") ==
        "weft, line 3, column 32: the attribute 'dtype' is given twice");
  CHECK(body("%y = cast(%x) {dtype = 3}") ==
        "weft, line 3, column 17: attribute 'dtype' has a value of the wrong kind");
  CHECK(body("%y = constant : float32()") == "weft, line 3, column 17: a constant needs its value");
  CHECK(body("%y = constant {value = float32(3,) [1, 2]}") ==
        "weft, line 3, column 38: the literal has 2 elements, its shape wants 3");
  CHECK(body("%y = constant {value = uint8() [256]}") ==
        "weft, line 3, column 35: '256' is not a uint8");
  CHECK(body("%y = input") == "weft, line 4, column 3: an input needs its type");
  CHECK(body("%y = input : float32(N $)").starts_with("weft, line 3, column 26: expected ')'"));
  CHECK(body("%y = neg(%x) \"open") ==
        "weft, line 3, column 16: the string does not end on its line");
  CHECK(error_of("graph \"g\" (%x) { return }") ==
        "weft, line 1, column 12: the graph has no value %x");
  CHECK(
      body("%c = input : float32(3,)  %y = add(%x, %c)  %z = input : float32(4,) %w = add(%y, %z)")
          .find("line 3, column 77: add of float32(2, 3) and float32(4,)") != std::string::npos);
}

TEST_CASE("bad text is an error, never a crash") {
  const NodeRef x = f32({2}, "x");
  const Graph g = example();
  const std::string good = to_text(g);
  const auto survives = [](const std::string& text) {
    try {
      parse_graph(text);
    } catch (const ParseError& e) {
      CHECK(std::string_view(e.what()).find("line ") != std::string_view::npos);
    }
  };
  for (std::size_t n = 0; n < good.size(); ++n) survives(good.substr(0, n));
  std::mt19937 random(3);
  for (int i = 0; i < 20'000; ++i) {
    std::string text = good;
    for (unsigned k = random() % 3 + 1; k > 0; --k) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0: text[at] = static_cast<char>(random()); break;
        case 1: text.erase(at, random() % 8); break;
        case 2: text.insert(at, text.substr(random() % text.size(), random() % 20)); break;
      }
    }
    survives(text);
  }
  std::string deep = "graph \"\" () { return ";
  for (int i = 0; i < 100'000; ++i) deep += "(";
  survives(deep);
  survives("graph \"\" () { %x = input : float32(" + std::string(3000, '(') + "1" +
           std::string(3000, ')') + ")");
  survives("graph \"\" () { %x = input : float32(" + std::string(5000, '-') + "1)");
  survives("graph \"\" () { %x = constant {value = float32(1000000, 1000000) splat 1} }");
  survives("graph \"\" () { %x = constant {value = float32(4000000000, 4000000000, 4) splat 1} }");
  survives("graph \"\" () { %x = constant {value = float32(4000000000000000000,) [1]} }");
  survives("graph \"\" () { %x = constant {value = float32(4000000000000000000,) base64 \"\"} }");
}

TEST_CASE("a hundred thousand nodes are written and read") {
  const NodeRef x = f32({4}, "x");
  NodeRef y = x;
  for (int i = 0; i < 100'000; ++i) y = make_node(ops::add, {y, x});
  const Graph g({x}, {y});
  CHECK(structurally_equal(parse_graph(to_text(g)), g));
}

TEST_CASE("every row of the catalogue reads back with its sample attributes") {
  for (const Op* op : all_ops()) {
    if (!op->samples.make) continue;
    const auto dtypes = static_cast<unsigned>(op->samples.dtypes);
    const DType usual = dtypes & Samples::floats     ? DType::float32
                        : dtypes & Samples::integers ? DType::int32
                                                     : DType::boolean;
    for (const Sample& sample : op->samples.make()) {
      std::vector<NodeRef> inputs;
      for (const SampleOperand& operand : sample.operands)
        inputs.push_back(
            make_input({operand.fixed.value_or(usual), to_dims(operand.shape), false}));
      const NodeRef node = make_node(*op, inputs, sample.attrs);
      const Graph g = round_trip(Graph(inputs, {node}));
      CHECK(g.outputs()[0]->attrs() == sample.attrs);
      verify(g);
    }
  }
}

TEST_CASE("type rules withstand any attributes and shapes that a text may give") {
  std::mt19937 random(11);
  int sound = 0, unsound = 0;
  for (const Op* op : all_ops()) {
    if (!op->samples.make) continue;
    for (const Sample& sample : op->samples.make()) {
      std::vector<NodeRef> inputs;
      for (const SampleOperand& operand : sample.operands)
        inputs.push_back(
            make_input({operand.fixed.value_or(DType::float32), to_dims(operand.shape), false}));
      std::string good;
      try {
        good = to_text(Graph(inputs, {make_node(*op, inputs, sample.attrs)}), {.types = false});
      } catch (const Error&) {
        continue;  // not for float32
      }
      for (int i = 0; i < 60; ++i) {
        std::string text = good;
        for (unsigned k = random() % 3 + 1; k > 0; --k) {
          const std::size_t at = text.find_first_of("0123456789", random() % text.size());
          if (at == std::string::npos) continue;
          constexpr std::string_view others[] = {
              "-1", "0", "1", "7", "N", "9000000000000000000", "-9000000000000000000", ""};
          text.replace(at, 1, others[random() % std::size(others)]);
        }
        INFO(text);
        try {
          verify(parse_graph(text));
          ++sound;
        } catch (const ParseError&) {
          ++unsound;
        }
      }
    }
  }
  CHECK(sound > 100);
  CHECK(unsound > 100);
}
