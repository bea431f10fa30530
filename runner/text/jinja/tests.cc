// What stands behind "is".
#include "runner/text/jinja/builtin_table.h"
#include "runner/text/jinja/engine.h"
#include "runner/text/jinja/python_text.h"

namespace glm::runner::jinja {
namespace {

using Answer = Result<bool>;

template <Kind kind>
Answer is_kind(Engine&, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("test", {}, 0));
  return self.is(kind);
}

Answer is_defined(Engine&, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("defined", {}, 0));
  return !self.is(Kind::undefined);
}

template <bool wanted>
Answer is_literally(Engine&, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("test", {}, 0));
  return self.is(Kind::boolean) && self.boolean() == wanted;
}

Answer is_number(Engine&, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("number", {}, 0));
  return self.is_number();
}

Answer is_sequence(Engine&, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("sequence", {}, 0));
  // Whatever has a length and items: mappings too, and undefined values, which have none of them.
  const bool range = self.is(Kind::view) && self.as<View>().of == View::Of::range;
  return self.is_sequence() || self.is(Kind::text) || self.is(Kind::dict) ||
         self.is(Kind::undefined) || range;
}

Answer is_iterable(Engine&, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("iterable", {}, 0));
  return iterable(self) || self.is(Kind::loop);
}

Answer is_callable(Engine&, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("callable", {}, 0));
  return self.is(Kind::macro) || self.is(Kind::function) || self.is(Kind::loop) ||
         self.is(Kind::undefined);  // which complains when it is called
}

template <std::string (*convert)(std::string_view), bool (*other)(char32_t)>
Answer is_case(Engine& engine, const Value& self, const Arguments& arguments) {
  const std::string_view method = other == &is_cased_upper ? "islower" : "isupper";
  const std::string text = GLM_TRY(to_text(self));
  const Value answer =
      GLM_TRY(find_method(Kind::text, method)(engine, Value::text(text), arguments));
  return answer.boolean();
}

template <int remainder>
Answer is_remainder(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("test", {}, 0));
  const Value rest = GLM_TRY(binary(engine.room(), BinaryOp::modulo, self, Value::integer(2)));
  return equal(rest, Value::integer(remainder));
}

Answer is_divisible(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("divisibleby", {"num"}, 1));
  const Value rest = GLM_TRY(binary(engine.room(), BinaryOp::modulo, self, bound[0]));
  return equal(rest, Value::integer(0));
}

Answer is_same(Engine&, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("sameas", {"other"}, 1));
  if (self.kind() != bound[0].kind()) return false;
  if (self.identity() != nullptr) {
    return self.identity() == bound[0].identity() || (self.is(Kind::text) && equal(self, bound[0]));
  }
  return equal(self, bound[0]);
}

Answer is_in(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("in", {"seq"}, 1));
  return contains(engine.room(), bound[0], self);
}

Answer is_filter(Engine&, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("filter", {}, 0));
  return self.is(Kind::text) && find_filter(self.text()) != nullptr;
}

Answer is_test(Engine&, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("test", {}, 0));
  return self.is(Kind::text) && find_test(self.text()) != nullptr;
}

Answer is_escaped(Engine&, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("escaped", {}, 0));
  return self.is_markup();
}

Answer is_equal(Engine&, const Value& self, const Arguments& arguments) {
  return equal(self, GLM_TRY(arguments.bind("eq", {"other"}, 1))[0]);
}

Answer is_unequal(Engine&, const Value& self, const Arguments& arguments) {
  return !equal(self, GLM_TRY(arguments.bind("ne", {"other"}, 1))[0]);
}

enum class Order { less, less_equal, greater, greater_equal };

template <Order wanted>
Answer is_ordered(Engine&, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("test", {"other"}, 1));
  const bool less = wanted == Order::less || wanted == Order::less_equal;
  const auto found = GLM_TRY(order(less ? "<" : ">", self, bound[0]));
  switch (wanted) {
    case Order::less:
      return std::is_lt(found);
    case Order::less_equal:
      return std::is_lteq(found);
    case Order::greater:
      return std::is_gt(found);
    case Order::greater_equal:
      return std::is_gteq(found);
  }
  return false;
}

constexpr Builtin<NativeTest> kTests[] = {
    {"!=", &is_unequal},
    {"<", &is_ordered<Order::less>},
    {"<=", &is_ordered<Order::less_equal>},
    {"==", &is_equal},
    {">", &is_ordered<Order::greater>},
    {">=", &is_ordered<Order::greater_equal>},
    {"boolean", &is_kind<Kind::boolean>},
    {"callable", &is_callable},
    {"defined", &is_defined},
    {"divisibleby", &is_divisible},
    {"eq", &is_equal},
    {"equalto", &is_equal},
    {"escaped", &is_escaped},
    {"even", &is_remainder<0>},
    {"false", &is_literally<false>},
    {"filter", &is_filter},
    {"float", &is_kind<Kind::real>},
    {"ge", &is_ordered<Order::greater_equal>},
    {"greaterthan", &is_ordered<Order::greater>},
    {"gt", &is_ordered<Order::greater>},
    {"in", &is_in},
    {"integer", &is_kind<Kind::integer>},
    {"iterable", &is_iterable},
    {"le", &is_ordered<Order::less_equal>},
    {"lessthan", &is_ordered<Order::less>},
    {"lower", &is_case<&lower, &is_cased_upper>},
    {"lt", &is_ordered<Order::less>},
    {"mapping", &is_kind<Kind::dict>},
    {"ne", &is_unequal},
    {"none", &is_kind<Kind::none>},
    {"number", &is_number},
    {"odd", &is_remainder<1>},
    {"sameas", &is_same},
    {"sequence", &is_sequence},
    {"string", &is_kind<Kind::text>},
    {"test", &is_test},
    {"true", &is_literally<true>},
    {"undefined", &is_kind<Kind::undefined>},
    {"upper", &is_case<&upper, &is_cased_lower>},
};

}  // namespace

NativeTest find_test(std::string_view name) {
  return find_builtin<NativeTest>(kTests, name);
}

std::string nearest_test(std::string_view name) {
  return did_you_mean<NativeTest>(kTests, name);
}

}  // namespace glm::runner::jinja
