#include "runner/text/tool_parser.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "runner/text/json_call.h"
#include "runner/text/json_schema.h"
#include "runner/text/tag_text.h"

namespace glm::runner {
namespace {

using Json = nlohmann::ordered_json;
using Tags = std::span<const std::string_view>;

constexpr std::string_view kCall = "<tool_call>";
constexpr std::string_view kCallEnd = "</tool_call>";
constexpr std::string_view kKey = "<arg_key>";
constexpr std::string_view kKeyEnd = "</arg_key>";
constexpr std::string_view kValue = "<arg_value>";
constexpr std::string_view kValueEnd = "</arg_value>";

// What ends each part; the parts of a damaged call end early.
constexpr std::string_view kTextTags[] = {kCall};
constexpr std::string_view kNameTags[] = {kKey, kCallEnd, "\n"};
constexpr std::string_view kPayloadTags[] = {kCallEnd, kCall};
constexpr std::string_view kBetweenTags[] = {kKey, kCallEnd, kCall};
constexpr std::string_view kKeyTags[] = {kKeyEnd, kValue, kCallEnd};
constexpr std::string_view kGapTags[] = {kValue, kKey, kCallEnd};
constexpr std::string_view kValueTags[] = {kValueEnd, kCallEnd, kKey};

constexpr std::size_t kNameMaxBytes = 512;

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kTagSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kTagSpace) - first + 1);
}

}  // namespace

//                      name ends                <arg_key>        </arg_key>      <arg_value>
//   text ─<tool_call>─► name ───────► between ──────────► key ──────────► gap ──────────────► value
//    ▲ ▲                 │ "{"           │ ▲                                                    │
//    │ └── unknown tool ─┤               │ └───────────────────── </arg_value> ─────────────────┘
//    │                   ▼               │
//    └──────────────── payload           │
//    └───────────────────── </tool_call> ┘
class ToolParser::Machine {
 public:
  Machine(const Json& tools, UnknownTools unknown_tools, CallLayout layout)
      : unknown_tools_(unknown_tools), layout_(layout) {
    if (!tools.is_array()) return;
    for (const Json& tool : tools) {
      const Json& function =
          tool.is_object() && tool.contains("function") ? tool["function"] : tool;
      if (!function.is_object() || !function.contains("name") || !function["name"].is_string()) {
        continue;
      }
      const bool has_parameters = function.contains("parameters");
      tools_[function["name"].get<std::string>()] =
          has_parameters ? ParameterSchema(function["parameters"]) : ParameterSchema();
    }
  }

  std::vector<ToolEvent> push(std::string_view text) {
    // In small steps, since taking a tag from the front costs the length of what waits.
    constexpr std::size_t kStepBytes = 4096;
    for (std::size_t at = 0; at < text.size(); at += kStepBytes) {
      waiting_ += text.substr(at, kStepBytes);
      while (advance()) {
      }
    }
    return std::exchange(events_, {});
  }

  std::vector<ToolEvent> finish(End end) {
    while (!close(end)) {
      while (advance()) {
      }
    }
    return std::exchange(events_, {});
  }

  std::int32_t calls() const { return index_; }

 private:
  enum class State { text, name, payload, between, key, gap, value };
  enum class Part { some, last };

  // Ends what is open. False: it was no call, and its text has to be read again.
  bool close(End end) {
    switch (state_) {
      case State::text:
        emit_text(std::exchange(waiting_, {}));
        if (index_ == 0 || text_since_call_) flush_space();
        break;
      case State::name:
        if (end == End::turn && layout_ == CallLayout::arg_tags && accepts(trim(waiting_)) &&
            !trim(waiting_).empty()) {
          begin_call(trim(waiting_));
          end_call();
        } else {
          give_up("");
          return false;
        }
        break;
      case State::payload:
        if (!finish_payload(std::exchange(waiting_, {}))) return false;
        break;
      case State::value:
        if (end == End::turn) take_value(waiting_, Part::last);
        leave_call(end);
        break;
      case State::between:
      case State::key:  // a key without a value is dropped
      case State::gap:
        leave_call(end);
        break;
    }
    waiting_.clear();
    go(State::text);
    return true;
  }

  // One step; false: more text is needed.
  bool advance() {
    switch (state_) {
      case State::text:
        return in_text();
      case State::name:
        return in_name();
      case State::payload:
        return in_payload();
      case State::between:
        return in_between();
      case State::key:
        return in_key();
      case State::gap:
        return in_gap();
      case State::value:
        return in_value();
    }
    return false;
  }

  // The next tag, with the text before it taken out of `waiting_`.
  struct Next {
    std::string before;
    std::string_view tag;  // empty: none yet
  };
  Next next(Tags tags) {
    const FoundTag found = find_tag(std::string_view(waiting_).substr(searched_), tags);
    if (found.at == std::string_view::npos) {
      // What cannot be part of a tag need not be searched again.
      searched_ = waiting_.size() - unfinished_tag(waiting_, tags);
      return {};
    }
    const std::size_t at = searched_ + found.at;
    Next out{waiting_.substr(0, at), found.tag};
    waiting_.erase(0, at + found.tag.size());
    searched_ = 0;
    return out;
  }

  void go(State state) {
    state_ = state;
    searched_ = 0;
  }

  bool in_text() {
    Next found = next(kTextTags);
    if (found.tag.empty()) {
      emit_text(waiting_.substr(0, searched_));
      waiting_.erase(0, searched_);
      searched_ = 0;
      return false;
    }
    emit_text(found.before);
    const bool no_tools = tools_.empty() && unknown_tools_ == UnknownTools::as_text;
    if (no_tools || layout_ == CallLayout::none) {
      emit_text(kCall);
    } else {
      go(State::name);
    }
    return true;
  }

  bool in_name() {
    // White space before the name belongs to the layout.
    if (searched_ == 0) {
      const std::size_t first = std::min(waiting_.find_first_not_of(kTagSpace), waiting_.size());
      skipped_ += waiting_.substr(0, first);
      waiting_.erase(0, first);
    }
    if (waiting_.starts_with('{')) {
      go(State::payload);
      return true;
    }
    if (layout_ == CallLayout::json) {
      if (waiting_.empty()) return false;
      give_up("");
      return true;
    }
    Next found = next(kNameTags);
    if (found.tag.empty()) {
      if (searched_ <= kNameMaxBytes) return false;
      give_up("");
      return true;
    }
    const std::string_view name = trim(found.before);
    if (name.empty() || name.size() > kNameMaxBytes || !accepts(name)) {
      give_up(found.before.append(found.tag));
      return true;
    }
    begin_call(name);
    lines_ = found.tag == "\n";
    if (found.tag == kKey) {
      go(State::key);
    } else if (found.tag == kCallEnd) {
      end_call();
    } else {
      go(State::between);
    }
    return true;
  }

  bool in_payload() {
    Next found = next(kPayloadTags);
    if (found.tag.empty()) return false;
    if (found.tag == kCall) {
      give_up(found.before.append(kCall));
    } else {
      waiting_.insert(0, kCallEnd);  // in front again, should this be no payload
      if (finish_payload(found.before)) waiting_.erase(0, kCallEnd.size());
    }
    return true;
  }

  bool in_between() {
    const Next found = next(kBetweenTags);
    if (found.tag.empty()) {
      // Nothing but tags means anything here.
      waiting_.erase(0, searched_);
      searched_ = 0;
      return false;
    }
    if (found.tag == kKey) {
      go(State::key);
      return true;
    }
    end_call();
    if (found.tag == kCall) go(State::name);
    return true;
  }

  bool in_key() {
    const Next found = next(kKeyTags);
    if (found.tag.empty()) return false;
    key_ = trim(found.before);
    if (found.tag == kCallEnd) {
      end_call();
    } else if (found.tag == kValue) {
      begin_value();
    } else {
      go(State::gap);
    }
    return true;
  }

  bool in_gap() {
    const std::size_t first = std::min(waiting_.find_first_not_of(kTagSpace), waiting_.size());
    waiting_.erase(0, first);
    for (const std::string_view tag : kGapTags) {
      if (!waiting_.starts_with(tag)) continue;
      waiting_.erase(0, tag.size());
      if (tag == kValue) {
        begin_value();
      } else if (tag == kKey) {
        go(State::key);
      } else {
        end_call();
      }
      return true;
    }
    for (const std::string_view tag : kGapTags) {
      if (tag.starts_with(waiting_)) return false;
    }
    begin_value();  // <arg_value> was forgotten
    return true;
  }

  bool in_value() {
    const Next found = next(kValueTags);
    if (found.tag.empty()) {
      if (!streaming_) return false;
      take_value(std::string_view(waiting_).substr(0, searched_), Part::some);
      waiting_.erase(0, searched_);
      searched_ = 0;
      return false;
    }
    take_value(found.before, Part::last);
    if (found.tag == kCallEnd) {
      end_call();
    } else {
      go(found.tag == kKey ? State::key : State::between);
    }
    return true;
  }

  bool accepts(std::string_view name) const {
    return unknown_tools_ == UnknownTools::as_calls || tools_.find(name) != tools_.end();
  }

  // Not a call after all: <tool_call> is text, and what was read since is read again as such.
  void give_up(std::string_view read) {
    emit_text(kCall);
    waiting_.insert(0, std::exchange(skipped_, {}).append(read));
    go(State::text);
  }

  void begin_call(std::string_view name) {
    space_.clear();  // white space before and between calls is layout
    skipped_.clear();
    name_ = name;
    const auto found = tools_.find(name);
    schema_ = found == tools_.end() ? nullptr : &found->second;
    arguments_.clear();
    lines_ = false;
    events_.push_back({ToolEvent::Kind::call_begin, index_, name_, ""});
  }

  void end_call() {
    append_arguments(arguments_.empty() ? "{}" : "}");
    events_.push_back({ToolEvent::Kind::call_end, index_, name_, std::exchange(arguments_, {})});
    ++index_;
    text_since_call_ = false;
    go(State::text);
  }

  void leave_call(End end) {
    if (end == End::turn) return end_call();
    if (arguments_.empty()) append_arguments("{");
    events_.push_back(
        {ToolEvent::Kind::call_cut_off, index_, name_, std::exchange(arguments_, {})});
    go(State::text);
  }

  void append_arguments(std::string_view piece) {
    if (piece.empty()) return;
    arguments_ += piece;
    events_.push_back({ToolEvent::Kind::arguments, index_, name_, std::string(piece)});
  }

  void begin_value() {
    append_arguments(fmt::format("{}\"{}\":", arguments_.empty() ? "{" : ",", escape_json(key_)));
    streaming_ = schema_ != nullptr && schema_->is_text(key_);
    if (streaming_) append_arguments("\"");
    value_began_ = false;
    held_newline_ = false;
    go(State::value);
  }

  // The next piece of a value. In the layout with lines, one newline on each side is not part of
  // it.
  void take_value(std::string_view piece, Part part) {
    if (!value_began_ && !piece.empty()) {
      value_began_ = true;
      if (lines_ && piece.starts_with('\n')) piece.remove_prefix(1);
    }
    std::string text;
    if (held_newline_ && !piece.empty()) text.push_back('\n');
    if (!piece.empty()) held_newline_ = false;
    text += piece;
    if (lines_ && text.ends_with('\n')) {
      text.pop_back();
      held_newline_ = true;
    }
    if (streaming_) {
      append_arguments(escape_json(text));
      if (part == Part::last) append_arguments("\"");
    } else if (schema_ != nullptr) {
      append_arguments(schema_->to_json(key_, text));
    } else {
      append_arguments(ParameterSchema().to_json(key_, text));
    }
  }

  // False: it is no call.
  bool finish_payload(const std::string& payload) {
    auto call = parse_json_call(payload);
    if (!call || !accepts(call->first)) {
      give_up(payload);
      return false;
    }
    begin_call(call->first);
    if (call->second != "{}") {
      call->second.pop_back();  // end_call() closes it
      append_arguments(call->second);
    }
    end_call();
    return true;
  }

  void emit_text(std::string_view text) {
    const std::size_t body = text.find_last_not_of(kTagSpace) + 1;  // npos + 1 is 0
    if (body > 0) {
      flush_space();
      events_.push_back({ToolEvent::Kind::text, -1, "", std::string(text.substr(0, body))});
      text_since_call_ = true;
    }
    space_ += text.substr(body);
  }

  void flush_space() {
    if (space_.empty()) return;
    events_.push_back({ToolEvent::Kind::text, -1, "", std::exchange(space_, {})});
  }

  UnknownTools unknown_tools_;
  CallLayout layout_;
  std::map<std::string, ParameterSchema, std::less<>> tools_;

  State state_ = State::text;
  std::string waiting_;       // not understood yet
  std::size_t searched_ = 0;  // of it, without a tag
  std::string space_;         // text that is layout if a call follows
  std::string skipped_;       // between <tool_call> and the name
  bool text_since_call_ = false;

  std::int32_t index_ = 0;
  std::string name_;
  const ParameterSchema* schema_ = nullptr;  // null: the tool is unknown
  bool lines_ = false;                       // GLM-4.5's layout
  std::string key_;
  bool streaming_ = false;
  bool value_began_ = false;
  bool held_newline_ = false;
  std::string arguments_;
  std::vector<ToolEvent> events_;
};

ToolParser::ToolParser(const Json& tools, UnknownTools unknown_tools, CallLayout layout)
    : machine_(std::make_unique<Machine>(tools, unknown_tools, layout)) {}
ToolParser::ToolParser(ToolParser&&) noexcept = default;
ToolParser& ToolParser::operator=(ToolParser&&) noexcept = default;
ToolParser::~ToolParser() = default;

std::vector<ToolEvent> ToolParser::push(std::string_view text) {
  return machine_->push(text);
}
std::vector<ToolEvent> ToolParser::finish(End end) {
  return machine_->finish(end);
}
std::int32_t ToolParser::calls() const {
  return machine_->calls();
}

}  // namespace glm::runner
