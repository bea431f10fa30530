#include "tests/fakes/hub_faults.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "tests/fakes/gzip_bytes.h"
#include "tests/fakes/url_text.h"

namespace glm::fakes {
namespace {

enum class Counts { every, get, ranged };

struct KindRow {
  FaultKind kind;
  Step step;
  Counts counts;
};

constexpr KindRow kKinds[] = {
    {FaultKind::status, Step::resolve, Counts::every},
    {FaultKind::login_page, Step::resolve, Counts::every},
    {FaultKind::redirect, Step::resolve, Counts::every},
    {FaultKind::redirect_loop, Step::resolve, Counts::every},
    {FaultKind::no_commit, Step::resolve, Counts::every},
    {FaultKind::wrong_etag, Step::resolve, Counts::every},
    {FaultKind::wrong_size, Step::resolve, Counts::every},
    {FaultKind::plain_text, Step::api, Counts::every},
    {FaultKind::foreign_next, Step::api, Counts::every},
    {FaultKind::endless_tree, Step::api, Counts::every},
    {FaultKind::expire, Step::data, Counts::every},
    {FaultKind::cut, Step::data, Counts::get},
    {FaultKind::stall, Step::data, Counts::get},
    {FaultKind::slow, Step::data, Counts::get},
    {FaultKind::ignore_range, Step::data, Counts::ranged},
    {FaultKind::wrong_start, Step::data, Counts::ranged},
    {FaultKind::wrong_bytes, Step::data, Counts::get},
    {FaultKind::gzip, Step::data, Counts::get},
    {FaultKind::no_length, Step::data, Counts::get},
};

const KindRow& row(FaultKind kind) {
  return *std::find_if(std::begin(kKinds), std::end(kKinds),
                       [kind](const KindRow& candidate) { return candidate.kind == kind; });
}

bool counts(Counts rule, const HttpRequest& request) {
  if (rule == Counts::every) return true;
  if (request.method == "HEAD") return false;
  return rule == Counts::get || !request.header("range").empty();
}

struct ByteRange {
  std::uint64_t first = 0, end = 0;  // end is one past the last
};

enum class RangeKind { none, satisfiable, unsatisfiable };

RangeKind parse_range(std::string_view text, std::uint64_t size, ByteRange& range) {
  constexpr std::string_view kUnit = "bytes=";
  if (text.substr(0, kUnit.size()) != kUnit || text.find(',') != std::string_view::npos) {
    return RangeKind::none;
  }
  text.remove_prefix(kUnit.size());
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return RangeKind::none;
  const auto number = [](std::string_view digits, std::uint64_t& value) {
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size();
  };
  const std::string_view first = text.substr(0, dash);
  const std::string_view last = text.substr(dash + 1);
  std::uint64_t value = 0;
  if (first.empty()) {
    if (!number(last, value)) return RangeKind::none;
    range = {size - std::min(value, size), size};
    return value == 0 || size == 0 ? RangeKind::unsatisfiable : RangeKind::satisfiable;
  }
  if (!number(first, range.first)) return RangeKind::none;
  range.end = size;
  if (!last.empty()) {
    if (!number(last, value)) return RangeKind::none;
    if (value < size) range.end = value + 1;
  }
  return range.first < range.end ? RangeKind::satisfiable : RangeKind::unsatisfiable;
}

// A byte early, or late where there is none before.
ByteRange moved(ByteRange range) {
  if (range.first > 0) return {range.first - 1, range.end};
  return {std::min(range.first + 1, range.end - 1), range.end};
}

std::string bytes_of(const Content& content) {
  return content.size_bytes == 0 ? "" : content.read(0, content.size_bytes);
}

void spoil(HttpAnswer& answer, const std::vector<Fault>& faults) {
  for (const Fault& fault : faults) {
    switch (fault.kind) {
      case FaultKind::cut:
        answer.cut_after_bytes = fault.bytes;
        break;
      case FaultKind::stall:
        answer.stall_after_bytes = fault.bytes;
        break;
      case FaultKind::slow:
        answer.bytes_per_second = std::max<std::uint64_t>(fault.bytes, 1);
        break;
      case FaultKind::no_length:
        answer.framing = Framing::until_close;
        break;
      case FaultKind::wrong_bytes:
        answer.content.read = [read = answer.content.read](std::uint64_t at, std::size_t length) {
          std::string bytes = read(at, length);
          if (at == 0 && !bytes.empty()) bytes[0] = static_cast<char>(bytes[0] ^ 1);
          return bytes;
        };
        break;
      case FaultKind::gzip:
        answer.content = content_of(gzip_bytes(bytes_of(answer.content)));
        answer.headers.emplace_back("Content-Encoding", "gzip");
        break;
      default:
        break;
    }
  }
}

}  // namespace

bool HubFaults::Entry::covers(const std::string& of_repository, const std::string& of_path) const {
  return (repository.empty() || repository == of_repository) && (path.empty() || path == of_path);
}

void HubFaults::add(const std::string& repository, const std::string& path, Fault fault) {
  if (!fault.step) fault.step = row(fault.kind).step;
  entries_.push_back({lower_case(repository), path, std::move(fault)});
}

std::vector<Fault> HubFaults::take(const std::string& repository, const std::string& path,
                                   Step step, const HttpRequest& request) {
  std::vector<Fault> taken;
  for (Entry& entry : entries_) {
    Fault& fault = entry.fault;
    if (fault.step != step || !entry.covers(lower_case(repository), path)) continue;
    if (!counts(row(fault.kind).counts, request)) continue;
    if (fault.skip > 0) {
      --fault.skip;
    } else if (fault.times != 0) {
      if (fault.times > 0) --fault.times;
      taken.push_back(fault);
    }
  }
  return taken;
}

std::uint64_t HubFaults::signed_uses(const std::string& repository, const std::string& path) const {
  std::uint64_t uses = UINT64_MAX;
  for (const Entry& entry : entries_) {
    if (entry.fault.kind == FaultKind::expire && entry.covers(lower_case(repository), path)) {
      uses = std::min(uses, entry.fault.bytes);
    }
  }
  return uses;
}

const Fault* find(const std::vector<Fault>& faults, FaultKind kind) {
  const auto found = std::find_if(faults.begin(), faults.end(),
                                  [kind](const Fault& fault) { return fault.kind == kind; });
  return found == faults.end() ? nullptr : &*found;
}

std::optional<HttpAnswer> replacement(const std::vector<Fault>& faults,
                                      const HttpRequest& request) {
  for (const Fault& fault : faults) {
    switch (fault.kind) {
      case FaultKind::status:
        return HttpAnswer{
            .status = fault.status, .headers = fault.headers, .content = content_of(fault.text)};
      case FaultKind::login_page:
        return HttpAnswer{
            .status = 200,
            .headers = {{"Content-Type", "text/html; charset=utf-8"}},
            .content = content_of("<!DOCTYPE html><html><title>Log in</title></html>")};
      case FaultKind::redirect:
        return HttpAnswer{
            .status = 302, .headers = {{"Location", fault.text}}, .content = content_of("")};
      case FaultKind::redirect_loop:
        return HttpAnswer{
            .status = 302, .headers = {{"Location", request.target}}, .content = content_of("")};
      default:
        break;
    }
  }
  return std::nullopt;
}

HttpAnswer serve(const Content& content, const HttpRequest& request,
                 const std::vector<Fault>& faults) {
  const std::uint64_t size = content.size_bytes;
  HttpAnswer answer;
  ByteRange range{0, size};
  RangeKind kind = parse_range(request.header("range"), size, range);
  if (find(faults, FaultKind::ignore_range) != nullptr) kind = RangeKind::none;
  answer.headers.emplace_back("Accept-Ranges", "bytes");
  if (kind == RangeKind::unsatisfiable) {
    answer.status = 416;
    answer.headers.emplace_back("Content-Range", "bytes */" + std::to_string(size));
    answer.content = content_of("");
    return answer;
  }
  if (kind == RangeKind::none) {
    answer.content = content;
  } else {
    if (find(faults, FaultKind::wrong_start) != nullptr) range = moved(range);
    answer.status = 206;
    answer.headers.emplace_back("Content-Range", "bytes " + std::to_string(range.first) + "-" +
                                                     std::to_string(range.end - 1) + "/" +
                                                     std::to_string(size));
    answer.content = slice(content, range.first, range.end - range.first);
  }
  spoil(answer, faults);
  return answer;
}

}  // namespace glm::fakes
