// glm list — the models that are here; glm list --catalog — those that have short names.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/rfc3339.h"
#include "base/units.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/table.h"
#include "cmd/cli/terminal.h"

namespace glm {
namespace {

struct Args {
  bool json = false;
  bool catalog = false;
};

std::string or_dash(std::string text) {
  return text.empty() ? "-" : text;
}

std::string age(const std::string& time) {
  const auto then = parse_rfc3339(time);
  if (!then) return "-";
  return format_age(
      std::chrono::duration_cast<std::chrono::seconds>(system_clock().wall() - *then));
}

std::string source(const Json& model) {
  const std::string repository = text_field(model, "source"), commit = text_field(model, "commit");
  if (repository.empty() || commit.empty()) return or_dash(repository);
  return repository + "@" + commit.substr(0, 7);
}

std::vector<std::string> row(const Json& model) {
  const auto details = model.find("details");
  const std::string format =
      details == model.end() ? std::string() : text_field(*details, "quantization_level");
  return {text_field(model, "name"),
          or_dash(text_field(model, "digest").substr(0, 12)),
          or_dash(format),
          format_bytes(
              static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer_field(model, "size")))),
          age(text_field(model, "modified_at")),
          source(model)};
}

std::vector<std::string> catalog_row(const Json& model) {
  const std::int64_t size = integer_field(model, "size");
  const auto pulled = model.find("pulled");
  const bool here = pulled != model.end() && pulled->is_boolean() && pulled->get<bool>();
  return {text_field(model, "name"),
          size > 0 ? format_bytes(static_cast<std::uint64_t>(size)) : std::string("-"),
          here ? "yes" : "no", or_dash(text_field(model, "source"))};
}

Status list(Cli& cli, const Args& args) {
  Client client = GLM_TRY(connect(cli));
  const Json answer = GLM_TRY(client.get(args.catalog ? "/api/catalog" : "/api/tags"));
  if (args.json) return print_json(answer);
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "ID", "FORMAT", "SIZE", "MODIFIED", "SOURCE"}};
  if (args.catalog) rows = {{"NAME", "SIZE", "HERE", "SOURCE"}};
  const auto models = answer.find("models");
  if (models != answer.end() && models->is_array()) {
    for (const Json& model : *models) {
      if (model.is_object()) rows.push_back(args.catalog ? catalog_row(model) : row(model));
    }
  }
  return print(table(rows));
}

}  // namespace

void add_list(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<Args>();
  CLI::App* command = add_command(app, "list", "List the models that are here");
  command->alias("ls");
  command->add_flag("--catalog", args->catalog,
                    "List what a short name can be pulled of instead, here or not");
  command->add_flag("--json", args->json, "Print JSON");
  command->callback([&cli, args] { cli.run = [&cli, args] { return list(cli, *args); }; });
}

}  // namespace glm
