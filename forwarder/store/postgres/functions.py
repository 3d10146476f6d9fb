"""What statements name as SQLite does, and PostgreSQL has not, or has otherwise; what finds alerts; and the leases."""

from __future__ import annotations

from typing import Final

FUNCTIONS: Final = r"""
CREATE FUNCTION json_valid(told text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  PERFORM told::json;
  RETURN true;
EXCEPTION WHEN OTHERS THEN
  RETURN false;
END $$;

-- '$[3]' and '$.title' are the only forms of a path that are in use.
CREATE FUNCTION json_steps(path text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT string_to_array(btrim(translate(path, '$[]', '.'), '.'), '.')
$$;

-- What no text here can hold, a zero byte or half a character, becomes the mark for what cannot be shown.
CREATE FUNCTION json_mended(told text) RETURNS json LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT regexp_replace(told, '\\u(0000|d[89a-f][0-9a-f]{2})', '\\ufffd', 'gi')::json
$$;

CREATE FUNCTION json_extract(told text, path text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  BEGIN
    RETURN told::json #>> forwarder.json_steps(path);
  EXCEPTION WHEN untranslatable_character OR data_exception THEN
    RETURN forwarder.json_mended(told) #>> forwarder.json_steps(path);
  END;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END $$;

CREATE FUNCTION json_type(told text, path text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  found json := told::json #> forwarder.json_steps(path);
BEGIN
  RETURN CASE json_typeof(found) WHEN 'string' THEN 'text' WHEN 'boolean' THEN found::text ELSE json_typeof(found) END;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END $$;

CREATE FUNCTION json_items(told json) RETURNS TABLE (key text, value text)
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE ROWS 20 AS $$
BEGIN
  IF json_typeof(told) = 'array' THEN
    RETURN QUERY SELECT (e.place - 1)::text, e.item FROM json_array_elements_text(told)
      WITH ORDINALITY AS e (item, place);
  ELSIF json_typeof(told) = 'object' THEN
    RETURN QUERY SELECT e.name, e.item FROM json_each_text(told) AS e (name, item);
  END IF;
END $$;

CREATE FUNCTION json_each(told text, path text DEFAULT '$') RETURNS TABLE (key text, value text)
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE ROWS 20 AS $$
BEGIN
  BEGIN
    RETURN QUERY SELECT e.key, e.value FROM forwarder.json_items(told::json #> forwarder.json_steps(path)) AS e;
  EXCEPTION WHEN untranslatable_character OR data_exception THEN
    RETURN QUERY SELECT e.key, e.value
      FROM forwarder.json_items(forwarder.json_mended(told) #> forwarder.json_steps(path)) AS e;
  END;
EXCEPTION WHEN OTHERS THEN
  RETURN;
END $$;

CREATE FUNCTION max(one anycompatible, other anycompatible) RETURNS anycompatible
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN one IS NOT NULL AND other IS NOT NULL THEN greatest(one, other) END
$$;

CREATE FUNCTION min(one anycompatible, other anycompatible) RETURNS anycompatible
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN one IS NOT NULL AND other IS NOT NULL THEN least(one, other) END
$$;

CREATE FUNCTION date(at double precision, form text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN form = 'unixepoch' AND at BETWEEN 0 AND 253402300799 THEN
    to_char(to_timestamp(at) AT TIME ZONE 'UTC', 'YYYY-MM-DD') END
$$;

-- Every run of three characters, whatever the case: what contains another text has all of that text's. A text of any
-- length would take seconds, and the transaction that keeps its alert with it: an alert is found by its beginning.
CREATE FUNCTION trigrams(told text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT coalesce(array_agg(DISTINCT one || two || three), '{}') FROM (
    SELECT letter AS one, lead(letter) OVER following AS two, lead(letter, 2) OVER following AS three
    FROM unnest(string_to_array(lower(left(told, 20000) COLLATE "C"), NULL)) WITH ORDINALITY AS letters (letter, place)
    WINDOW following AS (ORDER BY place)
  ) AS runs WHERE three IS NOT NULL
$$;
"""

SEARCH: Final = """
CREATE FUNCTION words_of(id text, cve_id text, body text) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT id || chr(10) || coalesce(cve_id, '')
    || chr(10) || coalesce(forwarder.json_extract(body, '$.title'), '')
    || chr(10) || coalesce((
      SELECT string_agg(value, chr(10)) FROM forwarder.json_each(body, '$.affected_vendors')
    ), '')
$$;

CREATE FUNCTION alerts_searchable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO forwarder.searchable (alert_id, words) VALUES (new.id, forwarder.words_of(new.id, new.cve_id, new.body))
  ON CONFLICT (alert_id) DO UPDATE SET words = excluded.words WHERE searchable.words <> excluded.words;
  RETURN NULL;
END $$;
CREATE TRIGGER alerts_searchable AFTER INSERT OR UPDATE OF body ON alerts
  FOR EACH ROW EXECUTE FUNCTION alerts_searchable();
"""
"""Alerts are found by any part of what they are called by."""

LEASES: Final = """
CREATE TABLE leases (
  -- What is held: of the roles that there may be, the one daemon's.
  role TEXT PRIMARY KEY CHECK (role <> ''),
  -- The process that holds it; empty where none does.
  owner TEXT NOT NULL DEFAULT '',
  -- Until when, in the database's own clock. Who holds it names it in each of its writes.
  until timestamptz NOT NULL DEFAULT '-infinity',
  -- When its holder last showed that all of it turns.
  turned_at timestamptz,
  -- The last write of its holder, by which that knows whether a commit without an answer came about.
  mark TEXT NOT NULL DEFAULT ''
) WITH (fillfactor = 20);
INSERT INTO leases (role) VALUES ('daemon');
"""
"""Which daemon a database belongs to: a file has a lock for that."""
