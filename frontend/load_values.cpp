#include "load_values.h"

#include <set>
#include <string_view>

#include "ir/error.h"
#include "weft/eval.h"

namespace weft {

void frontend::load_values(const char* what,
                           const std::vector<std::pair<std::string, Tensor>>& variables,
                           const NamedArrays& state, bool strict, std::source_location where) {
  std::set<std::string_view> known;
  for (const auto& [name, variable] : variables) {
    known.insert(name);
    const auto found = state.find(name);
    if (found == state.end()) {
      if (strict) throw Error(std::string(what) + ": there is no '" + name + "'", where);
    } else if (found->second.shape() != variable.shape()) {
      throw ShapeError(std::string(what) + ": '" + name + "' has shape " +
                           to_string(found->second.shape()) + ", expected " +
                           to_string(variable.shape()),
                       where);
    }
  }
  if (strict)
    for (const auto& [name, value] : state)
      if (!known.contains(name))
        throw Error(std::string(what) + ": nothing has the name '" + name + "'", where);
  Transaction together;
  for (auto [name, variable] : variables)
    if (const auto found = state.find(name); found != state.end())
      variable.set_value(found->second.to(variable.device()), where);
  together.commit();
}

}  // namespace weft
