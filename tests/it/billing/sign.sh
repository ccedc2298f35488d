# Tells Tenantry what has happened to a subscription, as a billing system would: with openssl and curl.
secret=$(cat billing-secret)
body='{"type": "subscription.updated", "occurred_at": "'$(date -u +%Y-%m-%dT%H:%M:%SZ)'",
       "tenant": {"slug": "acme"}, "plan": "growth", "status": "active", "limits": {"ai_tokens": 100000}}'
id=msg_$(openssl rand -hex 12)
now=$(date +%s)
key=$(printf %s "${secret#whsec_}" | base64 -d | od -An -v -tx1 | tr -d ' \n')
signature=$(printf %s "$id.$now.$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)
curl --silent --show-error --fail-with-body http://127.0.0.1:9900/v1/webhooks/billing \
     -H 'Content-Type: application/json' -H "webhook-id: $id" -H "webhook-timestamp: $now" \
     -H "webhook-signature: v1,$signature" --data-binary "$body"
