#include "registry/model_name.h"

#include <algorithm>
#include <array>

namespace glm::registry {
namespace {

constexpr std::size_t kSegmentMax = 96;

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-';
}

Error bad(std::string_view text, std::string_view why) {
  return make_error(Errc::invalid_argument,
                    "'{}' is no model name: {}; names are MODEL[:TAG] or ORG/NAME[@REVISION]",
                    text.substr(0, 200), why);
}

// The hub's rules for one part of a repository id, which we use for every name.
Status check_segment(std::string_view text, std::string_view segment) {
  if (segment.empty()) return bad(text, "a part is empty");
  if (segment.size() > kSegmentMax) return bad(text, "a part is longer than 96 characters");
  if (!std::all_of(segment.begin(), segment.end(), is_name_character)) {
    return bad(text, "only letters, digits, '_', '.' and '-' are allowed");
  }
  for (const char edge : {segment.front(), segment.back()}) {
    if (edge == '-' || edge == '.') return bad(text, "a part begins or ends with '-' or '.'");
  }
  if (segment.find("--") != std::string_view::npos || segment.find("..") != std::string_view::npos) {
    return bad(text, "'--' and '..' are not allowed");
  }
  if (segment.ends_with(".git")) return bad(text, "it ends in .git");
  return Ok{};
}

// Branches, tags and refs such as refs/pr/1. Percent-encoded when it goes into a URL.
Status check_revision(std::string_view text, std::string_view revision) {
  if (revision.empty() || revision.size() > 255) return bad(text, "the revision is empty or too long");
  for (const char c : revision) {
    if (!is_name_character(c) && c != '/' && c != '+') {
      return bad(text, "the revision has a character that revisions do not have");
    }
  }
  if (revision.find("..") != std::string_view::npos || revision.front() == '/' ||
      revision.back() == '/') {
    return bad(text, "the revision is malformed");
  }
  return Ok{};
}

// Takes a known prefix of a pasted address away; true if there was one.
bool strip_address(std::string_view& rest) {
  constexpr std::array<std::string_view, 4> kHosts = {"huggingface.co/", "www.huggingface.co/",
                                                      "hf.co/", "www.hf.co/"};
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
  }
  for (const std::string_view host : kHosts) {
    if (rest.starts_with(host)) {
      rest.remove_prefix(host.size());
      return true;
    }
  }
  return false;
}

Result<ModelRef> parse_repository(std::string_view text, std::string_view rest) {
  ModelRef ref;
  ref.revision = "main";
  const std::size_t slash = rest.find('/');
  const std::string_view organisation = rest.substr(0, slash);
  std::string_view name = rest.substr(slash + 1);
  std::string_view revision;
  if (const std::size_t tree = name.find("/tree/"); tree != std::string_view::npos) {
    revision = name.substr(tree + 6);
    name = name.substr(0, tree);
  } else if (const std::size_t at = name.find('@'); at != std::string_view::npos) {
    revision = name.substr(at + 1);
    name = name.substr(0, at);
  } else if (const std::size_t colon = name.find(':'); colon != std::string_view::npos) {
    revision = name.substr(colon + 1);  // as `glm list` shows it
    name = name.substr(0, colon);
    if (revision == "latest") revision = "main";
  } else {
    revision = "main";
  }
  GLM_TRY(check_segment(text, organisation));
  GLM_TRY(check_segment(text, name));
  GLM_TRY(check_revision(text, revision));
  ref.repository = std::string(organisation) + "/" + std::string(name);
  ref.revision = revision;
  return ref;
}

}  // namespace

Result<ModelRef> ModelRef::parse(std::string_view text) {
  std::string_view rest = text;
  const bool address = strip_address(rest);
  while (address && rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find('/') != std::string_view::npos) return parse_repository(text, rest);
  if (address) return bad(text, "a repository on the hub is ORG/NAME");
  ModelRef ref;
  const std::size_t colon = rest.find(':');
  ref.model = rest.substr(0, colon);
  ref.tag = colon == std::string_view::npos ? "latest" : rest.substr(colon + 1);
  GLM_TRY(check_segment(text, ref.model));
  GLM_TRY(check_segment(text, ref.tag));
  return ref;
}

std::string ModelRef::store_name() const {
  if (!is_repository()) return model + ":" + tag;
  return repository + ":" + (revision == "main" ? "latest" : revision);
}

}  // namespace glm::registry
