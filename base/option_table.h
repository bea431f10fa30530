// One table of options serves the flag, the environment variable, the Modelfile's PARAMETER and the
// REST `options` object: the same name, the same range, the same message when it is wrong.
//
// Rows live with the struct they fill (modelfiles/parameters.cc); an OptionTable looks them up and
// parses, an OptionSet collects values of different origins and keeps the strongest of each.
//
// Thread safety: an OptionTable is constant; an OptionSet belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace glm {

enum class OptionType {
  integer,
  number,
  boolean,
  text,   // one of row.choices where there are any
  texts,  // may be given several times; the values of one origin add up
};

using OptionValue = std::variant<std::int64_t, double, bool, std::string, std::vector<std::string>>;

constexpr double kUnbounded = std::numeric_limits<double>::infinity();

struct OptionRow {
  std::string_view name;      // "top_k"; the flag is --top-k
  std::string_view env = {};  // "GLM_DEVICE"; empty: no variable
  OptionType type = OptionType::text;
  std::string_view fallback = {};  // the default, as text; empty: none, whoever reads it decides
  double min = -kUnbounded;        // both inclusive; integer and number only
  double max = kUnbounded;
  std::string_view choices = {};  // "auto|cpu|cuda"; text only
  std::string_view help = {};     // for --help and the documents
};

// Who said it. A later one wins over an earlier one, whatever the order of the calls.
enum class OptionOrigin { fallback, preset, modelfile, config_file, environment, request, flag };

// "Modelfile", "request", …
std::string_view name(OptionOrigin origin);

class OptionTable {
 public:
  // The rows must outlive the table. A row that repeats a name, or whose default does not satisfy
  // it, is a bug and aborts.
  explicit OptionTable(std::span<const OptionRow> rows);

  std::span<const OptionRow> rows() const { return rows_; }
  const OptionRow* find(std::string_view name) const;  // nullptr if there is none

  // Errc::invalid_argument: "there is no option 'temprature'; did you mean 'temperature'?".
  Result<const OptionRow*> require(std::string_view name) const;

  // "[0, 2]", "at least 1", "auto, cpu or cuda"; empty when everything is allowed.
  static std::string range_text(const OptionRow& row);

  // Errc::invalid_argument: "temperature wants a number in [0, 2], got 'warm'".
  static Result<OptionValue> parse(const OptionRow& row, std::string_view text);

  // The same check for a value that already has a type (a JSON number, a flag's integer). A whole
  // number is a number, and a number without a fraction is an integer.
  static Result<OptionValue> check(const OptionRow& row, OptionValue value);

 private:
  std::span<const OptionRow> rows_;
};

class OptionSet {
 public:
  // Holds the table's defaults. The table must outlive the set.
  explicit OptionSet(const OptionTable& table);

  // Unknown names and bad values are errors naming their origin:
  // "request: top_p wants a number in [0, 1], got 7". `where` names it better where that is known
  // ("environment variable GLM_DEVICE", "/home/me/pirate.modelfile").
  Status set_text(std::string_view name, std::string_view text, OptionOrigin origin,
                  std::string_view where = {});
  Status set(std::string_view name, OptionValue value, OptionOrigin origin,
             std::string_view where = {});

  // Reads the variable of every row that has one. An empty variable counts as unset.
  Status read_environment();

  // Unset (no default either): nullopt. Asking with the wrong type or an unknown name is a bug.
  std::optional<std::int64_t> integer(std::string_view name) const;
  std::optional<double> number(std::string_view name) const;
  std::optional<bool> boolean(std::string_view name) const;
  std::optional<std::string> text(std::string_view name) const;
  std::vector<std::string> texts(std::string_view name) const;

  // Where the value in force comes from; nullopt when there is none.
  std::optional<OptionOrigin> origin(std::string_view name) const;

 private:
  struct Entry {
    OptionValue value;
    OptionOrigin origin;
  };

  void keep(const OptionRow& row, OptionValue value, OptionOrigin origin);
  template <typename T>
  std::optional<T> get(std::string_view name) const;

  const OptionTable& table_;
  std::map<std::string_view, Entry> entries_;  // keyed by row.name
};

}  // namespace glm
