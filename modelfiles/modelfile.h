// A Modelfile: where a model's weights come from and how it likes to be run.
//
//   FROM org/name[@revision] | bundled:<folder> | <model>[:tag]
//   PARAMETER temperature 0.7
//   SYSTEM """You are terse."""
//
// The language is described in docs/modelfile.md; parser.h reads it, writer.h writes it.
#pragma once

#include <string>
#include <vector>

namespace glm::modelfiles {

struct Parameter {
  std::string name;   // as in the table of parameters.h
  std::string value;  // as written; it has passed the table's check
  bool operator==(const Parameter&) const = default;
};

struct Message {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
  bool operator==(const Message&) const = default;
};

struct Modelfile {
  std::string from;
  std::vector<Parameter> parameters;  // in the order written; only `stop` repeats
  std::string template_text;          // Jinja; empty: the checkpoint's own
  std::string system;
  std::vector<Message> messages;  // put before every conversation
  std::vector<std::string> licenses;
  bool operator==(const Modelfile&) const = default;
};

}  // namespace glm::modelfiles
