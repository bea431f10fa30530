// What all chat dialects share: from a request's fields to a running generation.
//
// A dialect reads its body into a Question, calls ask(), and writes deltas in its own shape.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cmd/api/reply.h"
#include "cmd/daemon/generation.h"
#include "cmd/daemon/models.h"
#include "cmd/services.h"
#include "store/manifest.h"

namespace glm::api {

struct Question {
  std::string model;                      // as the client wrote it
  Json messages = Json::array();          // for the chat template …
  std::optional<std::string> raw_prompt;  // … or text as it is, in its place,
  std::vector<std::int32_t> prompt_ids;   // … or token ids
  bool special_tokens = false;            // of a raw prompt: with those the tokenizer puts around
  Json tools;                             // array or null
  Json template_extras = Json::object();  // further variables of the chat template
  daemon::Thinking thinking;              // whether, and how hard
  bool thinking_required = false;         // refuse a model that cannot
  Json options = Json::object();          // by the names of modelfiles/parameters.h
  std::size_t answers = 1;                // how many are wanted
  std::vector<runner::TokenBias> logit_bias;
  std::int32_t logprobs = -1;   // runner::SamplingOptions::logprobs
  std::int64_t tokens_min = 0;  // the model does not end its turn before
  std::int32_t priority = 0;    // lower ones go first
  bool ignore_eos = false;      // nor ever by itself: go on until num_predict
  bool every_step = false;      // also deltas without text
  std::optional<daemon::KeepAlive> keep_alive;
};

// A running answer. Movable into a stream as a shared_ptr.
struct Answer {
  std::string model;  // as the client wrote it, and gets it back
  daemon::ModelLease lease;
  std::unique_ptr<daemon::Generation> generation;  // ends before the lease
  std::optional<daemon::Delta> first;              // already taken
  Clock::Steady begun;
};

// Finds, loads, renders and submits.
Result<std::shared_ptr<Answer>> submit(Services& services, const Question& question,
                                       const Client& client);

// Waits for the first piece, so that whatever fails before it still gets a proper status.
Status wait_for_first(Answer& answer, const Client& client);

// Both.
Result<std::shared_ptr<Answer>> ask(Services& services, const Question& question,
                                    const Client& client);

// Only loads: what an empty request asks for.
Result<daemon::ModelLease> load(Services& services, const store::Manifest& manifest,
                                const Question& question, const Client& client);

// Calls `each` with every piece until it returns false. Errors that come later than the first
// piece are returned; a client that went away is Errc::cancelled.
Status for_each_delta(Answer& answer, const Client& client,
                      const std::function<bool(const daemon::Delta&)>& each);

// The manifest a client's name means: exact names first, then a pulled repository under another
// name. Errc::not_found: `model "x" not found; did you mean 'y'?`.
Result<store::Manifest> stored_model(Services& services, const std::string& name);

// The same for who wants to use it: "…, try pulling it first".
Result<store::Manifest> find_model(Services& services, const std::string& name);

// "5m", "-1", 300, 0; as Ollama reads keep_alive.
Result<std::optional<daemon::KeepAlive>> keep_alive_field(const Json& body);

// A list of functions, or null. Whatever else stands there would be shown to the model, which could
// call nothing by it.
Status check_tools(const Json& tools);

// Further variables for the chat template.
Result<Json> template_kwargs_field(const Json& body);

// Refuses, by name, fields whose meaning this version does not have: silence would be a wrong
// answer. `fields` must be absent or null; an empty schema asks for JSON all the same.
Status refuse_fields(const Json& body, const std::vector<std::string_view>& fields);

// The same for fields that clients also send to ask for nothing: false, 0, "" and [] pass.
Status refuse_set_fields(const Json& body, const std::vector<std::string_view>& fields);

}  // namespace glm::api
