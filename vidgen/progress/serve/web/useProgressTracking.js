/* A run's progress as a React hook; copy it beside progress.js, or import both from the server.
 *
 *   const { progress, isConnected, error, connectionType } = useProgressTracking(taskId, {
 *     preferWebSocket: true,
 *     onComplete: (data) => …,  // data.video_url
 *     onError: (error) => …,    // a sentence
 *     server: "http://host:55433", token: "…",  // for a page of another origin
 *   });
 */

import { useEffect, useRef, useState } from "react";
import { watch } from "./progress.js";

const BEGIN = { stage: "initialized", progress: 0, message: "" };

export function useProgressTracking(
  taskId,
  { preferWebSocket = true, onComplete, onError, server = "", token = "" } = {},
) {
  const [progress, setProgress] = useState(BEGIN);
  const [error, setError] = useState(null);
  const [connectionType, setType] = useState(null);
  const heard = useRef({});
  heard.current = { onComplete, onError };

  useEffect(() => {
    if (!taskId) return undefined;
    setProgress(BEGIN);
    setError(null);
    const fail = (message) => {
      setError(message);
      heard.current.onError?.(message);
    };
    const watching = watch(`${server}/api/tasks/${taskId}`, {
      token,
      ways: preferWebSocket ? ["websocket", "sse", "polling"] : ["sse", "polling"],
      onState: (state) => setType(state === "lost" ? null : state),
      onEvent: ({ event_type: type, data }) => {
        if (data.progress >= 0) setProgress({ ...data });
        if (type === "interrupted") fail(data.message);
      },
      onComplete: ({ event_type: type, data }) => {
        setType(null);
        if (type === "complete") heard.current.onComplete?.(data);
        else fail(data.error ?? data.message);
      },
      onError: (refusal) => fail(refusal.message),
    });
    return watching.close;
  }, [taskId, preferWebSocket, server, token]);

  return { progress, isConnected: connectionType !== null, error, connectionType };
}
