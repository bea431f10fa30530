// glm ps — the models that are loaded.
#include <CLI/CLI.hpp>
#include <algorithm>
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
#include "cmd/cli/times.h"

namespace glm {
namespace {

struct Args {
  bool json = false;
};

// As Ollama says it; the CPU's share first.
std::string processor(std::int64_t size, std::int64_t on_gpu) {
  if (size <= 0) return "-";
  if (on_gpu <= 0) return "100% CPU";
  if (on_gpu >= size) return "100% GPU";
  const auto cpu =
      static_cast<int>(static_cast<double>(size - on_gpu) / static_cast<double>(size) * 100 + 0.5);
  return fmt::format("{}%/{}% CPU/GPU", cpu, 100 - cpu);
}

std::string until(const std::string& time) {
  const auto deadline = parse_rfc3339(time);
  return deadline ? format_until(*deadline, system_clock().wall()) : "-";
}

std::vector<std::string> row(const Json& model) {
  const std::int64_t size = std::max<std::int64_t>(0, integer_field(model, "size"));
  const std::int64_t context = integer_field(model, "context_length");
  return {text_field(model, "name"),
          text_field(model, "digest").substr(0, 12),
          format_bytes(static_cast<std::uint64_t>(size)),
          processor(size, integer_field(model, "size_vram")),
          context > 0 ? fmt::format("{}", context) : "-",
          until(text_field(model, "expires_at"))};
}

Status ps(Cli& cli, const Args& args) {
  // Without a daemon nothing is loaded; starting one would not change that.
  std::optional<Client> client = GLM_TRY(connect_if_running(cli));
  const Json answer = client ? GLM_TRY(client->get("/api/ps")) : Json{{"models", Json::array()}};
  if (args.json) return print_json(answer);
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"}};
  const auto models = answer.find("models");
  if (models != answer.end() && models->is_array()) {
    for (const Json& model : *models) {
      if (model.is_object()) rows.push_back(row(model));
    }
  }
  return print(table(rows));
}

}  // namespace

void add_ps(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<Args>();
  CLI::App* command = add_command(app, "ps", "List the models that are loaded");
  command->add_flag("--json", args->json, "Print JSON");
  command->callback([&cli, args] { cli.run = [&cli, args] { return ps(cli, *args); }; });
}

}  // namespace glm
